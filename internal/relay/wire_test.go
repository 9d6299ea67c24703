package relay

import (
	"bytes"
	"testing"

	"github.com/pion/stun/v4"
)

func TestFrameSize(t *testing.T) {
	for _, tt := range []struct {
		head []byte
		want int
	}{
		{[]byte{0x00, 0x01, 0x00, 0x00}, 20},
		{[]byte{0x00, 0x01, 0x00, 0x08}, 28},
		{[]byte{0x00, 0x01, 0x00, 0x07}, -1},
		{[]byte{0x40, 0x00, 0x00, 0x00}, 4},
		{[]byte{0x4f, 0xff, 0x00, 0x05}, 12},
		{[]byte{0x40, 0x00, 0xff, 0xff}, 65540},
		{[]byte{0x7f, 0xff, 0x00, 0x04}, 8}, // RFC 5766
		{[]byte("GET "), 4 + 0x5420},        // 'G' is 0x47: looks like channel data, and is no channel
		{[]byte{0x16, 0x03, 0x01, 0x02}, -1},
		{[]byte{0x80, 0, 0, 0}, -1},
		{[]byte{0xff, 0, 0, 0}, -1},
	} {
		got, err := frameSize(tt.head)
		if err != nil {
			got = -1
		}
		if got != tt.want {
			t.Errorf("frameSize(%x) = %d, want %d", tt.head, got, tt.want)
		}
	}
}

func TestMendChannelBind(t *testing.T) {
	key := []byte("key")
	failed := stun.NewType(stun.MethodChannelBind, stun.ClassErrorResponse)
	code := func(c stun.ErrorCode) stun.Setter { return &stun.ErrorCodeAttribute{Code: c} }
	refused := stun.MustBuild(stun.TransactionID, failed, code(401), stun.MessageIntegrity(key))
	mended := &stun.Message{Raw: mendChannelBind(refused.Raw, key)}
	if err := mended.Decode(); err != nil {
		t.Fatal(err)
	}
	if codeOf(mended) != 403 || mended.TransactionID != refused.TransactionID {
		t.Errorf("mended to %v", mended)
	}
	if err := stun.MessageIntegrity(key).Check(mended); err != nil {
		t.Error(err)
	}
	for name, m := range map[string]*stun.Message{
		"authentication": stun.MustBuild(stun.TransactionID, failed, code(401), stun.NewNonce("n"), stun.NewRealm("r")),
		"bad request":    stun.MustBuild(stun.TransactionID, failed, code(400), stun.MessageIntegrity(key)),
		"other method":   stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassErrorResponse), code(401), stun.MessageIntegrity(key)),
		"success":        stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodChannelBind, stun.ClassSuccessResponse), stun.MessageIntegrity(key)),
	} {
		if got := mendChannelBind(m.Raw, key); !bytes.Equal(got, m.Raw) {
			t.Errorf("%s: changed", name)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	f.Add([]byte{0x40, 0, 0, 4, 1, 2, 3, 4})
	f.Add([]byte{0x01, 0x19, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		k := classify(b)
		if k == kindRequest || k == kindIndication {
			if !stun.IsMessage(b) {
				t.Errorf("%x passes as %d", b, k)
			}
			if n, err := frameSize(b); err != nil || n != len(b) {
				t.Errorf("frameSize = %d, %v, for a message of %d bytes", n, err, len(b))
			}
		}
		if k == kindChannelData {
			if n, err := frameSize(b); err != nil || n > len(b)+3 {
				t.Errorf("frameSize = %d, %v, for channel data in %d bytes", n, err, len(b))
			}
		}
		relayed(b)
		mendChannelBind(b, []byte("key"))
	})
}

func FuzzStream(f *testing.F) {
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	f.Add([]byte{0x40, 0, 0, 1, 1, 0, 0, 0, 0x40, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, theirs := newStream(t)
		if _, ok := s.listener.table.add(&allocation{client: s.client}); !ok {
			t.Fatal("no room")
		}
		go func() {
			_, _ = theirs.Write(b) // ends when s is closed
			_ = theirs.Close()
		}()
		p := make([]byte, maxDatagram)
		for {
			n, err := s.Read(p)
			if err != nil {
				break
			}
			if want, err := frameSize(p); err != nil || n != want && n != want+len(noop) {
				t.Fatalf("a frame of %d bytes, want %d, %v", n, want, err)
			}
		}
		_ = s.Close()
	})
}
