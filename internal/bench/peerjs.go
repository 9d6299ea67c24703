//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// peerVersion is the version of PeerJS server that the bars were set with.
const peerVersion = "1.0.2"

// peerScript starts PeerJS server on a free port and prints its address.
const peerScript = `require("peer").PeerServer({ host: "127.0.0.1", port: 0, concurrent_limit: 50000 },
	(s) => console.log(s.address().address + ":" + s.address().port));`

// installTimeout bounds npm.
const installTimeout = 2 * time.Minute

// peerCommand is the command line that starts PeerJS server, which it installs
// if need be. Errors say why there is none here.
func (b *bench) peerCommand(ctx context.Context) ([]string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("node is not installed")
	}
	dir, err := b.peerDir()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "peer", "package.json")); err != nil {
		if err := b.installPeer(ctx, dir); err != nil {
			return nil, err
		}
	}
	script := filepath.Join(dir, "server.cjs") // modules are found beside it
	if err := os.WriteFile(script, []byte(peerScript), 0o600); err != nil {
		return nil, err
	}
	return []string{node, script}, nil
}

func (b *bench) peerDir() (string, error) {
	cache := b.cfg.CacheDir
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(user, "causeway")
	}
	return filepath.Join(cache, "bench-peer-"+peerVersion), nil
}

func (b *bench) installPeer(ctx context.Context, dir string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm is not installed")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b.say("installing PeerJS server %s into %s, to compare with (once)", peerVersion, dir)
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "peer@"+peerVersion)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm could not install peer@%s: %w: %.300s", peerVersion, err, out)
	}
	return nil
}
