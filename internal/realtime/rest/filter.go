package rest

import (
	"errors"
	"fmt"
	"strings"

	"causeway/internal/realtime"
)

// predicate says whether a connection is meant by a filter.
type predicate func(realtime.ConnectionInfo) bool

// Bounds of a filter: bytes, and depth of parentheses and nots.
const (
	maxFilter      = 4096
	maxFilterDepth = 32
)

// parseFilter parses the part of OData's filters that the package comment names:
//
//	or    = and *( "or" and )
//	and   = unary *( "and" unary )
//	unary = "not" unary / "(" or ")" / call / property ( "eq" / "ne" ) ( string / "null" )
//	call  = ( "startswith" / "endswith" / "contains" ) "(" property "," string ")"
//
// with property userId or connectionId, and strings in single quotes, of which
// two in a row are one. The empty filter means every connection.
func parseFilter(text string) (predicate, error) {
	if strings.TrimSpace(text) == "" {
		return func(realtime.ConnectionInfo) bool { return true }, nil
	}
	if len(text) > maxFilter {
		return nil, badRequest("filter", fmt.Sprintf("the filter exceeds %d bytes", maxFilter))
	}
	tokens, err := scanFilter(text)
	if err != nil {
		return nil, badRequest("filter", err.Error())
	}
	p := &filterParser{tokens: tokens}
	found, err := p.or(0)
	if err == nil && len(p.tokens) > 0 {
		err = p.unexpected("the end")
	}
	if err != nil {
		return nil, badRequest("filter", err.Error())
	}
	return found, nil
}

// token of a filter: a word, a string (literal), or one of ( ) and comma.
type token struct {
	text    string
	literal bool
	at      int // byte offset, for messages
}

func scanFilter(text string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '(' || c == ')' || c == ',':
			tokens = append(tokens, token{text[i : i+1], false, i})
			i++
		case c == '\'':
			value, length, err := scanString(text[i:])
			if err != nil {
				return nil, err
			}
			tokens = append(tokens, token{value, true, i})
			i += length
		default:
			end := strings.IndexAny(text[i:], " \t(),'")
			if end < 0 {
				end = len(text) - i
			}
			tokens = append(tokens, token{text[i : i+end], false, i})
			i += end
		}
	}
	return tokens, nil
}

// scanString reads a string in quotes at the beginning of s.
func scanString(s string) (value string, length int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, nil
	}
	return "", 0, errors.New("a string is not closed")
}

type filterParser struct{ tokens []token }

func (p *filterParser) unexpected(want string) error {
	if len(p.tokens) == 0 {
		return fmt.Errorf("the filter ends where %s is expected", want)
	}
	return fmt.Errorf("at character %d: %s is expected; filters have and, or, not, eq, ne, startswith, endswith and contains over userId and connectionId", p.tokens[0].at+1, want)
}

// take takes the next token if it is this word.
func (p *filterParser) take(word string) bool {
	if len(p.tokens) > 0 && !p.tokens[0].literal && strings.EqualFold(p.tokens[0].text, word) {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *filterParser) or(depth int) (predicate, error) {
	left, err := p.and(depth)
	for err == nil && p.take("or") {
		var right predicate
		a := left
		right, err = p.and(depth)
		left = func(c realtime.ConnectionInfo) bool { return a(c) || right(c) }
	}
	return left, err
}

func (p *filterParser) and(depth int) (predicate, error) {
	left, err := p.unary(depth)
	for err == nil && p.take("and") {
		var right predicate
		a := left
		right, err = p.unary(depth)
		left = func(c realtime.ConnectionInfo) bool { return a(c) && right(c) }
	}
	return left, err
}

func (p *filterParser) unary(depth int) (predicate, error) {
	if depth > maxFilterDepth {
		return nil, errors.New("the filter is nested too deeply")
	}
	if p.take("not") {
		inner, err := p.unary(depth + 1)
		return func(c realtime.ConnectionInfo) bool { return !inner(c) }, err
	}
	if p.take("(") {
		inner, err := p.or(depth + 1)
		if err == nil && !p.take(")") {
			err = p.unexpected("a closing parenthesis")
		}
		return inner, err
	}
	for name, test := range map[string]func(s, part string) bool{
		"startswith": strings.HasPrefix, "endswith": strings.HasSuffix, "contains": strings.Contains,
	} {
		if p.take(name) {
			return p.call(test)
		}
	}
	return p.comparison()
}

func (p *filterParser) call(test func(s, part string) bool) (predicate, error) {
	if !p.take("(") {
		return nil, p.unexpected("an opening parenthesis")
	}
	property, err := p.property()
	if err != nil {
		return nil, err
	}
	if !p.take(",") {
		return nil, p.unexpected("a comma")
	}
	part, err := p.text()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, p.unexpected("a closing parenthesis")
	}
	return func(c realtime.ConnectionInfo) bool { return test(property(c), part) }, nil
}

func (p *filterParser) comparison() (predicate, error) {
	property, err := p.property()
	if err != nil {
		return nil, err
	}
	equal := p.take("eq")
	if !equal && !p.take("ne") {
		return nil, p.unexpected("eq or ne")
	}
	value := "" // null: a connection without a user has the empty user id
	if !p.take("null") {
		if value, err = p.text(); err != nil {
			return nil, err
		}
	}
	return func(c realtime.ConnectionInfo) bool { return (property(c) == value) == equal }, nil
}

func (p *filterParser) property() (func(realtime.ConnectionInfo) string, error) {
	switch {
	case p.take("userId"):
		return func(c realtime.ConnectionInfo) string { return c.UserID }, nil
	case p.take("connectionId"):
		return func(c realtime.ConnectionInfo) string { return c.ConnectionID }, nil
	}
	return nil, p.unexpected("userId or connectionId")
}

func (p *filterParser) text() (string, error) {
	if len(p.tokens) == 0 || !p.tokens[0].literal {
		return "", p.unexpected("a string in single quotes")
	}
	text := p.tokens[0].text
	p.tokens = p.tokens[1:]
	return text, nil
}
