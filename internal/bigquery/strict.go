package bigquery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of JSON. BigQuery's own limit for nested columns is 15.
const (
	maxDepth   = 64      // nested objects and lists in what is read from anybody
	maxTokens  = 400_000 // names and values in a request: an array parameter of 100,000 elements has 300,000
	maxMembers = 10_000  // of one object of a request: a table of BigQuery's has at most so many columns
)

// object is one JSON object whose members are taken one by one, by name. What was not taken when
// done is called was not understood, and is an error. The first error sticks, so that a decoder
// reads as a list of fields.
type object struct {
	method  Method
	up      *object // nil for the body itself
	key     string  // its name there
	index   int     // and its place in that list, from 1; 0 where it is no list
	names   []string
	members map[string]jsontext.Value
	err     *error
}

// readBody reads the one JSON object of a request body: no duplicate name at any depth, valid
// UTF-8, nothing behind it.
func readBody(m Method, body []byte, err *error) *object {
	o := &object{method: m, err: err}
	if text, problem := values(body, maxTokens); problem != nil {
		o.fail("the body is not acceptable JSON: %s", problem)
	} else {
		o.read(text, maxMembers)
	}
	return o
}

// oneValue checks that a text is exactly one JSON value, of limited depth, without duplicate names
// and invalid UTF-8.
func oneValue(text []byte) (jsontext.Value, error) { return values(text, math.MaxInt) }

// values is oneValue of at most so many names and values.
func values(text []byte, most int) (jsontext.Value, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text)) // which is read where it lies
	for seen := 0; ; {
		token, err := d.ReadToken()
		if err != nil {
			return nil, describe(err)
		}
		if kind := token.Kind(); kind != '}' && kind != ']' {
			seen++
		}
		if seen > most {
			return nil, fmt.Errorf("it has more than %d names and values", most)
		}
		if d.StackDepth() > maxDepth {
			return nil, fmt.Errorf("it is nested deeper than %d levels", maxDepth)
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return jsontext.Value(text), nil
}

// describe says where JSON is wrong without repeating values of the text.
func describe(err error) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	case errors.As(err, &syntactic) && errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("the key %q appears twice", shorten(string(syntactic.JSONPointer)))
	case errors.As(err, &syntactic):
		return fmt.Errorf("byte %d: %w", syntactic.ByteOffset, syntactic.Err)
	default:
		return err
	}
}

// shorten keeps a client's text small enough to be repeated in a message.
func shorten(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// read splits an object into its members, of at most so many. The text is valid JSON already.
func (o *object) read(text jsontext.Value, most int) {
	if text.Kind() != '{' {
		o.fail("%s must be an object", o.at(""))
		return
	}
	o.members = map[string]jsontext.Value{}
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != '}' {
		if len(o.names) == most {
			o.fail("%s has more than %d members, and at most so many are served", o.at(""), most)
			return
		}
		var name jsontext.Token
		if name, err = d.ReadToken(); err != nil {
			break
		}
		key := name.String()
		var value jsontext.Value
		if value, err = part(d, text); err != nil {
			break
		}
		o.names = append(o.names, key)
		o.members[key] = value
	}
	if err != nil {
		o.fail("%s: %s", o.at(""), describe(err))
	}
}

// part reads the next value as a part of the text, which nobody changes: it is not copied.
func part(d *jsontext.Decoder, text jsontext.Value) (jsontext.Value, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := d.InputOffset()
	return text[end-int64(len(value)) : end : end], nil
}

// path is where the object stands, "configuration.query"; "" for the body itself. It is only asked
// for in messages.
func (o *object) path() string {
	if o.up == nil {
		return ""
	}
	key := shorten(o.key)
	if o.index > 0 {
		key = fmt.Sprintf("%s[%d]", key, o.index-1)
	}
	if above := o.up.path(); above != "" {
		return above + "." + key
	}
	return key
}

// at names a member in messages: "configuration.query.labels".
func (o *object) at(name string) string {
	name = shorten(name)
	switch path := o.path(); {
	case path == "" && name == "":
		return "the body"
	case path == "":
		return name
	case name == "":
		return path
	default:
		return path + "." + name
	}
}

func (o *object) fail(format string, args ...any) {
	if *o.err == nil {
		*o.err = malformed(o.method, format, args...)
	}
}

// take removes a member. As in proto JSON, null says the same as absence.
func (o *object) take(name string) (jsontext.Value, bool) {
	value, found := o.members[name]
	if !found {
		return nil, false
	}
	delete(o.members, name)
	return value, value.Kind() != 'n'
}

// done refuses every member that nobody took.
func (o *object) done() {
	for _, name := range o.names {
		if _, left := o.members[name]; left {
			o.fail("%s is not a field that bqgate knows%s", o.at(strconv.Quote(shorten(name))), hint(name))
			return
		}
	}
}

// hint recognises the snake_case alias of proto JSON and other spellings of a name.
func hint(name string) string {
	if strings.Contains(name, "_") {
		return ": names are written in camelCase"
	}
	return ""
}

// refused takes members that bqgate does not serve. A value among harmless says the same as
// absence.
func (o *object) refused(name, why string, harmless ...string) {
	value, found := o.take(name)
	if !found {
		return
	}
	if compact := value.Clone(); compact.Compact() == nil && slices.Contains(harmless, string(compact)) {
		return
	}
	if *o.err == nil {
		*o.err = refuse(o.method, "%s is not served: %s", o.at(name), why)
	}
}

func (o *object) object(name string) (*object, bool) { return o.small(name, maxMembers) }

// small is object of at most so many members.
func (o *object) small(name string, most int) (*object, bool) {
	value, found := o.take(name)
	if !found {
		return nil, false
	}
	sub := &object{method: o.method, up: o, key: name, err: o.err}
	sub.read(value, most)
	return sub, *o.err == nil
}

// child is the object at a place, from 0, of a list that is a member of o.
func (o *object) child(list string, place int, text jsontext.Value) *object {
	c := &object{method: o.method, up: o, key: list, index: place + 1, err: o.err}
	c.read(text, maxMembers)
	return c
}

// list gives the elements of an array, of at most so many.
func (o *object) list(name string, most int) ([]jsontext.Value, bool) {
	value, found := o.take(name)
	if !found {
		return nil, false
	}
	if value.Kind() != '[' {
		o.fail("%s must be a list", o.at(name))
		return nil, false
	}
	var all []jsontext.Value
	d := jsontext.NewDecoder(bytes.NewBuffer(value))
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != ']' {
		if len(all) == most {
			o.fail("%s has more than %d elements, and at most so many are served", o.at(name), most)
			return nil, false
		}
		var v jsontext.Value
		if v, err = part(d, value); err == nil {
			all = append(all, v)
		}
	}
	if err != nil {
		o.fail("%s: %s", o.at(name), describe(err))
		return nil, false
	}
	return all, true
}

func (o *object) text(name string) string {
	value, found := o.take(name)
	if !found {
		return ""
	}
	if value.Kind() != '"' {
		o.fail("%s must be a string", o.at(name))
		return ""
	}
	return unquote(value)
}

func unquote(v jsontext.Value) string {
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil { // not reached: the text was checked before
		return ""
	}
	return string(s)
}

// word is a string out of a list; the empty string and the names in none say the same as absence.
func (o *object) word(name string, allowed ...string) string {
	s := o.text(name)
	if s == "" || strings.HasSuffix(s, "_UNSPECIFIED") && slices.Contains(allowed, s) {
		return ""
	}
	if !slices.Contains(allowed, s) {
		o.fail("%s must be one of %s", o.at(name), strings.Join(allowed, ", "))
		return ""
	}
	return s
}

func (o *object) pattern(name string, p pattern, want string) string {
	s := o.text(name)
	if s != "" && !p.MatchString(s) {
		o.fail("%s must be %s", o.at(name), want)
		return ""
	}
	return s
}

func (o *object) boolean(name string) *bool {
	value, found := o.take(name)
	if !found {
		return nil
	}
	b := value.Kind() == 't'
	if !b && value.Kind() != 'f' {
		o.fail("%s must be true or false", o.at(name))
		return nil
	}
	return &b
}

// wholeNumber is how JSON and Google write integers: no sign but a minus, no leading zero, no
// fraction and no exponent.
var wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,18})$`)

// integer reads an int64, as a number or, as Google writes them, as a string.
func (o *object) integer(name string, high int64) *int64 {
	value, found := o.take(name)
	if !found {
		return nil
	}
	s := string(value)
	if value.Kind() == '"' {
		s = unquote(value)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if !wholeNumber.MatchString(s) || err != nil || n < 0 || n > high {
		o.fail("%s must be a whole number%s", o.at(name), upTo(high))
		return nil
	}
	return &n
}

func upTo(high int64) string {
	if high == math.MaxInt64 {
		return " of at least 0"
	}
	return fmt.Sprintf(" between 0 and %d", high)
}
