package budget

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	journalName = "budget"      // in Config.Dir
	lockName    = "budget.lock" // empty; held while a Ledger is open
	maxJournal  = 4096          // bytes
	// maxSkew is how far in the future the file may be from. A day that the clock is
	// behind is waited for; of more, nobody can say which of the two is wrong.
	maxSkew = 48 * time.Hour
)

// mark is what the file holds: amounts that day and month were never beyond.
type mark struct {
	Version int       `json:"version"`
	Day     string    `json:"day"`   // 2026-11-22, UTC
	Month   string    `json:"month"` // 2026-11
	Of      [2]marked `json:"of"`    // day's and month's
}

type marked struct {
	Bytes int64 `json:"bytes"`
	Money int64 `json:"money"` // millionths
}

func (m marked) amount() amount { return amount{m.Bytes, m.Money} }

// journal keeps a mark in a file of two lines, the JSON and its SHA-256. The file is
// replaced as a whole and synced, with its directory, before write returns; so after a
// crash there is the old or the new one. The zero journal, and one without a directory, is in memory.
type journal struct {
	dir  string
	lock *os.File
	mark mark
}

// open locks dir and reads the file; a missing one is that of a new ledger.
func (j *journal) open(dir string, now time.Time) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := lockFile(lock); err != nil {
		return errors.Join(fmt.Errorf("%s is in use by another process: %w", dir, err), lock.Close())
	}
	j.dir, j.lock = dir, lock
	if err := j.read(now); err != nil {
		return errors.Join(err, j.close())
	}
	return nil
}

func (j *journal) close() error {
	if j.lock == nil {
		return nil
	}
	err := j.lock.Close() // which unlocks
	j.lock = nil
	return err
}

func (j *journal) read(now time.Time) error {
	name := filepath.Join(j.dir, journalName)
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return err
	}
	m, err := parseMark(b)
	if err != nil {
		return fmt.Errorf("%s: %w: %w; restore it from a backup, or remove it, which forgets what was spent this day and this month", name, ErrCorrupt, err)
	}
	if at, err := time.Parse(time.DateOnly, m.Day); err != nil || at.After(now.Add(maxSkew)) {
		return fmt.Errorf("%s is of %s, which is in the future: set the clock, or remove the file, which forgets what was spent", name, m.Day)
	}
	j.mark = m
	return nil
}

func parseMark(b []byte) (m mark, err error) {
	line, sum, ok := bytes.Cut(b, []byte("\n"))
	if !ok || len(b) > maxJournal {
		return m, errors.New("it is not of two lines")
	}
	if string(sum) != checksum(line) {
		return m, errors.New("the checksum does not match")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, err
	}
	if m.Version != 1 {
		return m, fmt.Errorf("version %d is not known", m.Version)
	}
	for _, x := range m.Of {
		if x.Bytes < 0 || x.Money < 0 {
			return m, errors.New("an amount is negative")
		}
	}
	if _, err := time.Parse("2006-01", m.Month); err != nil {
		return m, errors.New("it has no month")
	}
	if _, err := time.Parse(time.DateOnly, m.Day); err != nil {
		return m, errors.New("it has no day")
	}
	return m, nil
}

func checksum(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:]) + "\n"
}

// covers says whether the file's mark is of these periods, and not below used.
func (j *journal) covers(used [2]amount, day, month string) bool {
	if j.mark.Day != day || j.mark.Month != month {
		return false
	}
	for i, u := range used {
		if u.bytes > j.mark.Of[i].Bytes || u.money > j.mark.Of[i].Money {
			return false
		}
	}
	return true
}

// write replaces the mark, in the file first.
func (j *journal) write(of [2]amount, day, month string) error {
	m := mark{Version: 1, Day: day, Month: month, Of: [2]marked{{of[0].bytes, of[0].money}, {of[1].bytes, of[1].money}}}
	if j.dir != "" && j.lock == nil {
		return os.ErrClosed
	}
	if j.dir != "" {
		line, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(j.dir, journalName), append(append(line, '\n'), checksum(line)...)); err != nil {
			return fmt.Errorf("write %s: %w", journalName, err)
		}
	}
	j.mark = m
	return nil
}

// replaceFile writes name so that after a crash it is the old or the new one.
func replaceFile(name string, b []byte) error {
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}
