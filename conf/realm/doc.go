// Package realm knows who may log in: the users, passwords and roles of a file
// in Jetty's properties format, as ActiveMQ 5 ships it.
//
//	# username: password [,rolename ...]
//	alice: BCRYPT:$2a$10$..., admin
//	bob:   secret, user
//
// # The file
//
// It is a Java properties file: the key ends at the first blank, ":" or "=";
// "#" and "!" begin comments; a backslash escapes the next character, \uXXXX is a
// UTF-16 unit, and a backslash at the end of a line continues it. The last entry
// of a user counts. The first comma ends the password, but those inside an argon2
// hash belong to it; blanks around names, passwords and roles do not count. Java reads such files as ISO-8859-1; here a
// file that is valid UTF-8 is read as UTF-8 and any other as ISO-8859-1, because
// hardly any ISO-8859-1 text is valid UTF-8 by chance.
//
// # Passwords
//
//	BCRYPT:$2a$...   our extension, the kind to use
//	ARGON2:$argon... our extension, argon2id in PHC form; also without ARGON2:
//	MD5:<32 hex>     of the password in ISO-8859-1
//	OBF:...          Jetty's reversible obfuscation
//	anything else    the password itself
//
// CRYPT: (DES) and MD: are refused, and so is an empty password: the user cannot
// log in, [Realm.Problems] says why, and all other users work.
//
// # What costs time
//
// A bcrypt comparison takes some 50 ms of CPU. So that logins cannot occupy the
// machine, only a few run at a time (of argon2, which takes up to 256 MiB each, two
// at most), and a bounded memory of recent answers, keyed
// by an HMAC under a random key, lets a whole fleet reconnect for the price of one
// comparison for each user. Every refused login costs a comparison, whether the
// user exists or not and whatever kind its password is, so that the time taken
// does not tell which names exist, as long as all hashes of the file cost the same.
//
// # Invariants
//
//  1. A reload replaces users and remembered answers in one step; an answer never
//     outlives the file it was given from.
//  2. A file that cannot be read leaves the users as they were.
//  3. Memory is bounded: by maxFile for the file, by maxRemembered for answers,
//     by maxTracked for [Throttle], whatever clients send.
//  4. No file that exists is ever overwritten.
//
// [Throttle] delays logins that keep failing. The package starts no goroutine.
package realm
