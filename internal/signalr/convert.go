package signalr

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// FromJSON converts one JSON value to MessagePack and appends it to dst.
// Numbers without fraction and exponent that fit 64 bits become integers, others
// floats; strings stay strings, whatever they look like.
func FromJSON(dst []byte, v json.RawMessage) ([]byte, error) { return appendFromJSON(dst, v) }

// ToJSON converts one MessagePack value to JSON and appends it to dst. Binary data
// becomes base64, a timestamp RFC 3339 text, and what JSON numbers can't say
// (NaN, infinity) null, as JSON.stringify does. Map keys become strings.
func ToJSON(dst, v []byte) ([]byte, error) {
	out, rest, err := appendToJSON(dst, v, 0)
	if err == nil && len(rest) > 0 {
		err = malformed("bytes after the value")
	}
	return out, err
}

func appendFromJSON(dst []byte, v json.RawMessage) ([]byte, error) {
	if len(v) == 0 {
		return msgp.AppendNil(dst), nil
	}
	if !ValidValue(v) {
		return dst, malformed("a value is not valid JSON")
	}
	dst, _, err := convertJSON(dst, v, skipSpace(v, 0))
	return dst, err
}

// convertJSON appends the value at b[i], which has been validated (so it nests no
// deeper than maxDepth), and returns the index after it.
func convertJSON(dst, b []byte, i int) ([]byte, int, error) {
	switch c := b[i]; c {
	case '{', '[':
		return convertContainer(dst, b, i)
	case '"':
		end := scanString(b, i)
		s, err := unquote(b[i:end])
		return msgp.AppendString(dst, s), end, err
	case 't':
		return msgp.AppendBool(dst, true), i + 4, nil
	case 'f':
		return msgp.AppendBool(dst, false), i + 5, nil
	case 'n':
		return msgp.AppendNil(dst), i + 4, nil
	}
	end := scanNumber(b, i)
	dst, err := appendNumber(dst, string(b[i:end]))
	return dst, end, err
}

func appendNumber(dst []byte, s string) ([]byte, error) {
	if !strings.ContainsAny(s, ".eE") && s != "-0" {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return msgp.AppendInt64(dst, n), nil
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return msgp.AppendUint64(dst, n), nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return dst, malformed("number out of range")
	}
	return msgp.AppendFloat64(dst, f), nil
}

// convertContainer writes the elements first, since their number is known only
// then, and makes room for headers of more than one byte afterwards.
func convertContainer(dst, b []byte, i int) ([]byte, int, error) {
	object := b[i] == '{'
	start, n := len(dst), uint32(0)
	dst = append(dst, 0)
	var err error
	for i = skipSpace(b, i+1); b[i] != '}' && b[i] != ']'; n++ {
		if object {
			var s string
			end := scanString(b, i)
			if s, err = unquote(b[i:end]); err != nil {
				return dst, i, err
			}
			dst = msgp.AppendString(dst, s)
			i = skipSpace(b, skipSpace(b, end)+1)
		}
		if dst, i, err = convertJSON(dst, b, i); err != nil {
			return dst, i, err
		}
		if i = skipSpace(b, i); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	var room [5]byte
	header := msgp.AppendArrayHeader(room[:0], n)
	if object {
		header = msgp.AppendMapHeader(room[:0], n)
	}
	if extra := len(header) - 1; extra > 0 {
		dst = append(dst, header[:extra]...)
		copy(dst[start+len(header):], dst[start+1:len(dst)-extra])
	}
	copy(dst[start:], header)
	return dst, i + 1, nil
}

// appendToJSON appends the first value of b as JSON and returns the rest of b.
func appendToJSON(dst, b []byte, depth int) ([]byte, []byte, error) {
	if len(b) == 0 {
		return dst, nil, malformed("value ends early")
	}
	if depth > maxDepth {
		return dst, nil, malformed("nested too deep")
	}
	switch t := msgp.NextType(b); t {
	case msgp.NilType:
		return append(dst, "null"...), b[1:], nil
	case msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		return strconv.AppendBool(dst, v), rest, wrapMsgp(err)
	case msgp.IntType:
		v, rest, err := msgp.ReadInt64Bytes(b)
		return strconv.AppendInt(dst, v, 10), rest, wrapMsgp(err)
	case msgp.UintType:
		v, rest, err := msgp.ReadUint64Bytes(b)
		return strconv.AppendUint(dst, v, 10), rest, wrapMsgp(err)
	case msgp.Float32Type:
		v, rest, err := msgp.ReadFloat32Bytes(b)
		return appendFloat(dst, float64(v), 32), rest, wrapMsgp(err)
	case msgp.Float64Type:
		v, rest, err := msgp.ReadFloat64Bytes(b)
		return appendFloat(dst, v, 64), rest, wrapMsgp(err)
	case msgp.StrType:
		v, rest, err := msgp.ReadStringBytes(b)
		return appendJSONString(dst, v), rest, wrapMsgp(err)
	case msgp.BinType:
		v, rest, err := msgp.ReadBytesZC(b)
		if err != nil {
			return dst, nil, wrapMsgp(err)
		}
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), v)
		return append(dst, '"'), rest, nil
	case msgp.ArrayType, msgp.MapType:
		return containerToJSON(dst, b, t == msgp.MapType, depth)
	case msgp.TimeType, msgp.ExtensionType: // NextType misses a timestamp that ends the buffer
		v, rest, err := msgp.ReadTimeUTCBytes(b)
		if err != nil {
			return dst, nil, wrapMsgp(err)
		}
		return appendJSONString(dst, v.Format(time.RFC3339Nano)), rest, nil
	}
	return dst, nil, malformed("value of an unsupported type")
}

func wrapMsgp(err error) error {
	if err != nil {
		return malformed("%v", err)
	}
	return nil
}

// appendFloat writes f as encoding/json does.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, bits)
}

func containerToJSON(dst, b []byte, object bool, depth int) ([]byte, []byte, error) {
	var n uint32
	var err error
	bracket := byte('[')
	if object {
		bracket = '{'
		n, b, err = msgp.ReadMapHeaderBytes(b)
	} else {
		n, b, err = msgp.ReadArrayHeaderBytes(b)
	}
	if err != nil || int64(n) > int64(len(b)) {
		return dst, nil, malformed("container ends early")
	}
	dst = append(dst, bracket)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if object {
			if dst, b, err = keyToJSON(dst, b, depth+1); err != nil {
				return dst, nil, err
			}
		}
		if dst, b, err = appendToJSON(dst, b, depth+1); err != nil {
			return dst, nil, err
		}
	}
	return append(dst, bracket+2), b, nil
}

// keyToJSON appends a map key and a colon. Keys that are scalars but no strings
// become the text of their JSON form.
func keyToJSON(dst, b []byte, depth int) ([]byte, []byte, error) {
	start := len(dst)
	dst, rest, err := appendToJSON(dst, b, depth)
	if err != nil {
		return dst, nil, err
	}
	if key := dst[start:]; key[0] == '{' || key[0] == '[' {
		return dst, nil, malformed("map key is a container")
	} else if key[0] != '"' {
		dst = appendJSONString(dst[:start], string(bytes.Clone(key)))
	}
	return append(dst, ':'), rest, nil
}
