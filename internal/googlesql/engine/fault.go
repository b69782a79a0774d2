package engine

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

const (
	codeSyntax      = string(googlesql.ErrorSyntax)
	codeNotFound    = string(googlesql.ErrorNotFound)
	codeUnsupported = string(googlesql.ErrorUnsupported)
	codeLimit       = string(googlesql.ErrorLimit)
	codeDeadline    = string(googlesql.ErrorDeadline)
	codeUnavailable = string(googlesql.ErrorUnavailable)
)

const tooLarge = "the statement is too deep or too large to analyse"

// abort ends the analysis of a statement from anywhere in the walk. The walk visits hundreds of
// accessors, each of which may fail: panicking with an abort keeps the one line per field
// readable, and answer turns it into the reply's Error.
type abort struct{ *wire.Error }

func refuse(offset int, format string, args ...any) {
	panic(abort{&wire.Error{Code: codeUnsupported, Message: fmt.Sprintf(format, args...), Offset: offset}})
}

// trap is a fault of the engine itself: it ran off its stack, or threw. It ends the analysis from
// anywhere, and the process is replaced. The binding gives it as an error like any other, with
// words of its own before it; what the engine says of a text begins with the engine's words, and
// has the author's behind them.
type trap struct{ error }

const trapWords = "wasm trap: "

// untrapped panics with the error if it is a trap.
func untrapped(err error) {
	if err != nil && strings.HasPrefix(err.Error(), trapWords) {
		panic(trap{err})
	}
}

// must unwraps an accessor of the binding. An accessor fails only when the engine is broken or
// meets a node it has no Go type for.
func must[T any](v T, err error) T {
	if err != nil {
		untrapped(err)
		panic(abort{&wire.Error{Code: codeUnsupported, Message: "a part of this statement is not known to bqgate", Offset: -1}})
	}
	return v
}

func check(err error) {
	must(struct{}{}, err)
}

func faultError(r any) *wire.Error {
	if x, ok := r.(abort); ok {
		return x.Error
	}
	return &wire.Error{Code: codeDeadline, Message: tooLarge, Offset: -1}
}

var undeclaredParameter = regexp.MustCompile(`^Query parameter '(.+)' not found$`)

var errorLocation = regexp.MustCompile(`^(?s)(.*?)\s*\[at (\d+):(\d+)\]$`)

// authorsWords are names and literals of the text, as messages quote them.
var authorsWords = regexp.MustCompile("`(?:[^`\\\\]|\\\\.)*`|\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'")

// textError translates the engine's message about text, "… [at line:column]", into an Error with a
// byte offset. What it is about is told by the engine's words alone: those that the author chose
// are left out, and a name that stands without quotes has no space in it.
func textError(text string, err error) *wire.Error {
	untrapped(err)
	message := strings.TrimSpace(err.Error())
	result := &wire.Error{Code: codeSyntax, Message: message, Offset: -1}
	if m := errorLocation.FindStringSubmatch(message); m != nil {
		line, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		result.Message, result.Offset = m[1], offsetOf(text, line, column)
	}
	result.Message = strings.ReplaceAll(result.Message, routineGroupWord, "")
	if m := undeclaredParameter.FindStringSubmatch(result.Message); m != nil {
		result.Code, result.Message = codeNotFound,
			fmt.Sprintf("the query parameter @%s is not declared; name it with its type in queryParameters", m[1])
		return result
	}
	lower := strings.ToLower(authorsWords.ReplaceAllString(result.Message, ""))
	switch {
	case strings.HasPrefix(lower, "positional parameters are not supported"), strings.HasPrefix(lower, "query parameter number"):
		result.Code, result.Message = codeNotFound, "a positional parameter (?) is not declared; list it with its type in queryParameters"
		return result
	case strings.HasPrefix(message, "GOOGLESQL_RET_CHECK "):
		// Internal checks of the engine print C++ source; that is nothing for a client.
		result.Code, result.Message = codeUnsupported, "the SQL engine cannot analyse this statement"
	case strings.Contains(lower, "not found") || strings.Contains(lower, "unrecognized name"):
		result.Code = codeNotFound
	case strings.Contains(lower, "not supported"):
		result.Code = codeUnsupported
	}
	if len(result.Message) > maxMessage { // it repeats a literal or a name of the text
		result.Message = strings.ToValidUTF8(result.Message[:maxMessage], "") + " …"
	}
	return result
}

const maxMessage = 500 // bytes of what the engine says about a text

// offsetOf inverts the engine's positions: lines end at \n, \r or \r\n, columns count characters, a
// tab runs to the next multiple of eight.
func offsetOf(text string, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		i := strings.IndexAny(text[offset:], "\r\n")
		if i < 0 {
			return -1
		}
		offset += i + 1
		if text[offset-1] == '\r' && offset < len(text) && text[offset] == '\n' {
			offset++
		}
	}
	for at := 1; at < column && offset < len(text); {
		r, size := utf8.DecodeRuneInString(text[offset:])
		if r == '\t' {
			at += 8 - (at-1)%8
		} else {
			at++
		}
		offset += size
	}
	return offset
}
