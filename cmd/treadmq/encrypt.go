package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"treadmq/conf"
)

func newConfigEncryptCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "encrypt", Short: "Encrypt a secret for a configuration",
		Long: `Encrypt a secret for a configuration. It is asked for on a terminal; otherwise it is
the first line of standard input, or of --secret-file. What is printed, ENC(...), can stand
for the secret wherever the configuration takes a text.

The password to encrypt with is in ` + conf.SealPasswordEnv + `, or in the file that
` + conf.SealPasswordFileEnv + ` names. The broker needs the same.`,
		Example: `  TREADMQ_ENCRYPTION_PASSWORD_FILE=/run/secrets/treadmq treadmq config encrypt --secret-file token`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := conf.SealPassword(os.LookupEnv)
			if err != nil {
				return &failure{code: exitConfig, what: "there is nothing to encrypt with", why: err}
			}
			secret, err := newPassword(cmd, "secret-file", file)
			if err != nil {
				return err
			}
			sealed, err := conf.Seal(secret, password)
			if err != nil {
				return &failure{code: exitData, what: "the secret cannot be encrypted", why: err}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), sealed)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "secret-file", "", `file with the secret in its first line; "-" is standard input`)
	_ = cmd.MarkFlagFilename("secret-file") // the flag is there
	return cmd
}
