// Package state keeps what outlives the program: one directory for each bottle under the state root
// (metadata, Dockerfile and its history, transcript, the journal of the operation in flight, a lock)
// and one audit log for each identity. It knows files and nothing else: it must not speak to an
// engine, know a screen, or import any other package of this program.
//
// Directories are 0700, files 0600. Every write goes to a temporary file that is fsynced and renamed,
// after which its directory is fsynced: a crash leaves the old content or the new, never a part.
// Fields of a JSON file that this version does not know are kept. What cannot be read is reported
// with its path and left alone.
package state
