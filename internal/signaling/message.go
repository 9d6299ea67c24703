package signaling

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"causeway/internal/realtime"
)

// maxMessage is the limit of one message in bytes (docs/protocol.md §3). An SDP
// offer for data channels has about 1 KiB, with many candidates inside 4.
const maxMessage = 64 << 10

// maxRegion is the length of a region's name.
const maxRegion = 32

// peerIDSize is the size in bytes of a peer id before its encoding.
const peerIDSize = 8

func badMessage(what string) error {
	return &realtime.Error{Code: "bad_message", Message: "The message was not understood: " + what + "."}
}

func tooLarge() error {
	return &realtime.Error{Code: "too_large", Message: fmt.Sprintf("The message is larger than %d KiB.", maxMessage>>10)}
}

// signalMessage is the argument of the method "signal".
type signalMessage struct {
	To   string          `json:"to"`
	N    uint64          `json:"n"`
	Data json.RawMessage `json:"data"`
}

func parseHello(arg json.RawMessage) (n uint64, err error) {
	var m struct {
		N uint64 `json:"n"`
	}
	if err := json.Unmarshal(arg, &m); err != nil || m.N == 0 {
		return 0, badMessage(`"hello" takes {"n": a number from 1}`)
	}
	return m.N, nil
}

// relayMessage is the argument of the method "relay".
type relayMessage struct {
	To    string `json:"to"`
	Link  uint64 `json:"link"`
	Bytes int64  `json:"bytes"`
	// Region that its sender prefers; a name that no relay has is as good as none.
	Region string `json:"region"`
}

func parseRelay(arg json.RawMessage) (relayMessage, error) {
	var m relayMessage
	if err := json.Unmarshal(arg, &m); err != nil || m.Link == 0 || m.Bytes < 0 || !isPeer(m.To) || len(m.Region) > maxRegion {
		return m, badMessage(`"relay" takes {"to": a peer, "link": a number from 1, "bytes": a number, "region": a short name}`)
	}
	return m, nil
}

func parseKick(arg json.RawMessage) (to string, err error) {
	var m struct {
		To string `json:"to"`
	}
	if err := json.Unmarshal(arg, &m); err != nil || !isPeer(m.To) {
		return "", badMessage(`"kick" takes {"to": a peer}`)
	}
	return m.To, nil
}

func isPeer(id string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return err == nil && len(b) == peerIDSize
}

func parseSignal(arg json.RawMessage) (signalMessage, error) {
	var m signalMessage
	if err := json.Unmarshal(arg, &m); err != nil || m.N == 0 {
		return m, badMessage(`"signal" takes {"to": a peer, "n": a number from 1, "data": an object}`)
	}
	if !isPeer(m.To) {
		return m, badMessage(`"to" is not the id of a peer`)
	}
	var data struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(m.Data, &data); err != nil || !bytes.HasPrefix(bytes.TrimSpace(m.Data), []byte("{")) {
		return m, badMessage(`"data" is not an object with a type`)
	}
	switch data.Type {
	case "here", "description", "candidate", "busy", "cancel":
		return m, nil
	}
	return m, badMessage(`the type of "data" is not one that this server knows`)
}
