// Package webui holds the files of the console: templates, style sheets, scripts
// and texts, embedded into the program, without a build step. What is not our own is
// in assets/vendor, as it was published. Nothing is asked of other servers.
//
// Texts are in one file for each language, texts/<language>.json. A new language
// is a new file with the keys of en.json; keys that are missing show in English.
package webui

import (
	"embed"
	"io/fs"
)

//go:embed assets templates texts
var files embed.FS

// FS returns the folders assets, templates and texts.
func FS() fs.FS { return files }
