//go:build !unix

package budget

import "os"

// lockFile: there is no such lock in the standard library; that one process uses the
// directory is the operator's care.
func lockFile(*os.File) error { return nil }

// syncDir: directories can't be synced here.
func syncDir(string) error { return nil }
