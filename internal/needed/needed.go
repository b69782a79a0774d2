// Package needed is for constructors: it says which parts of a service are missing.
package needed

import (
	"fmt"
	"reflect"
	"strings"
)

// Parts returns an error that names the fields of a struct that are nil: interfaces, also those
// that hold a nil pointer, functions, pointers, maps, slices and channels. What may be left out
// must have been given its default before.
func Parts(of string, parts any) error {
	v := reflect.ValueOf(parts)
	var missing []string
	for i := range v.NumField() {
		if absent(v.Field(i)) {
			missing = append(missing, v.Type().Field(i).Name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: missing parts: %s", of, strings.Join(missing, ", "))
	}
	return nil
}

func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Interface:
		return v.IsNil() || absent(v.Elem())
	case reflect.Func, reflect.Pointer, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}
