package policies

import (
	"errors"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// What a value is, in the words of JSON.
const (
	kindText   = "text"
	kindNumber = "a number"
	kindBool   = "true or false"
	kindList   = "a list"
	kindObject = "an object"
	kindNull   = "null"
)

func kindOf(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return kindText
	case types.Int, types.Uint, types.Double:
		return kindNumber
	case types.Bool:
		return kindBool
	case types.Null:
		return kindNull
	case traits.Mapper:
		return kindObject
	case traits.Lister:
		return kindList
	default:
		return v.Type().TypeName()
	}
}

// otherKind is the failure of a value that is not what is wanted. It names types, never a value.
func otherKind(name, is, want string) ref.Val {
	if name == "" {
		name = "a value"
	}
	return types.NewErr("%s is %s, and %s is wanted", name, is, want)
}

// same compares two values of one type.
func same(a, b ref.Val, aName, bName string) ref.Val {
	if is, want := kindOf(a), kindOf(b); is != want {
		if aName == "" {
			return otherKind(bName, want, is)
		}
		return otherKind(aName, is, want)
	}
	switch left := a.(type) {
	case traits.Mapper:
		return sameObjects(left, b.(traits.Mapper), aName, bName)
	case traits.Lister:
		return sameLists(left, b.(traits.Lister), aName, bName)
	default:
		return types.Equal(a, b)
	}
}

func sameLists(a, b traits.Lister, aName, bName string) ref.Val {
	for _, list := range []struct {
		items ref.Val
		name  string
	}{{a, aName}, {b, bName}} {
		if err := listOf(list.items, list.name); err != nil {
			return err
		}
	}
	equal := a.Size() == b.Size()
	next := b.Iterator()
	for items := a.Iterator(); items.HasNext() == types.True && next.HasNext() == types.True; {
		switch answer := same(items.Next(), next.Next(), aName, bName).(type) {
		case types.Bool:
			equal = equal && answer == types.True
		default:
			return answer
		}
	}
	return types.Bool(equal)
}

func sameObjects(a, b traits.Mapper, aName, bName string) ref.Val {
	equal := a.Size() == b.Size()
	for keys := a.Iterator(); keys.HasNext() == types.True; {
		key := keys.Next()
		other, there := b.Find(key)
		if !there {
			equal = false
			continue
		}
		own, _ := a.Find(key)
		switch answer := same(own, other, aName, bName).(type) {
		case types.Bool:
			equal = equal && answer == types.True
		default:
			return answer
		}
	}
	return types.Bool(equal)
}

// listOf refuses what is no list of items of one type.
func listOf(v ref.Val, name string) (err ref.Val) {
	list, ok := v.(traits.Lister)
	if !ok {
		return otherKind(name, kindOf(v), kindList)
	}
	kind := ""
	for items := list.Iterator(); items.HasNext() == types.True; {
		is := kindOf(items.Next())
		if kind != "" && is != kind {
			return otherKind(name, "a list of several types", "a list of one type")
		}
		kind = is
	}
	return nil
}

// within says whether a value is in a list of its type, or among the keys of an object that the
// condition itself writes.
func within(v, in ref.Val, name, inName string) ref.Val {
	var items traits.Iterator
	switch c := in.(type) {
	case traits.Mapper:
		if inName != "" {
			return types.NewErr("%s is %s, and %s is wanted; of an object's members ask has(%s.NAME)", inName, kindObject, kindList, inName)
		}
		items = c.Iterator()
	default:
		if err := listOf(in, inName); err != nil {
			return err
		}
		items = in.(traits.Lister).Iterator()
	}
	found := false
	for items.HasNext() == types.True {
		switch answer := same(v, items.Next(), name, inName).(type) {
		case types.Bool:
			found = found || answer == types.True
		default:
			return answer
		}
	}
	return types.Bool(found)
}

// hasKey says whether an object has a member. One that is null may be meant either way.
func hasKey(v, key ref.Val, name string) ref.Val {
	object, ok := v.(traits.Mapper)
	if !ok {
		return otherKind(name, kindOf(v), kindObject)
	}
	if kindOf(key) != kindText {
		return otherKind("a member's name", kindOf(key), kindText)
	}
	member, there := object.Find(key)
	if there && kindOf(member) == kindNull {
		return types.NewErr("%s.%s is null", name, word(key))
	}
	return types.Bool(there)
}

// whyUnknown says in words why a condition gave no answer. No value of a claim is among them.
func whyUnknown(err error) string {
	if errors.Is(err, errPeople) {
		return err.Error()
	}
	text := strings.TrimSpace(firstLine(err.Error()))
	switch {
	case strings.HasPrefix(text, "no such key: "):
		return "there is no claim " + shorten(strings.TrimPrefix(text, "no such key: "))
	case strings.Contains(text, "is wanted"), strings.HasSuffix(text, " is null"):
		return shorten(text)
	case strings.Contains(text, "cost limit"):
		return "the claims are too long for the condition"
	default:
		return "a claim is of another type than the condition takes it for"
	}
}
