package main

import (
	"errors"
	"fmt"
	"reflect"
)

// compare demands that each fragment is contained in exactly one object of its own
// and that no object is left over.
func compare(fragments, objects []object) error {
	var all []error
	free := append([]object(nil), objects...)
	for _, fragment := range fragments {
		at, reason := -1, errors.New("there is no such object")
		for i, candidate := range free {
			if candidate == nil || !sameName(fragment, candidate) {
				continue
			}
			if reason = contains(fragment, candidate, fragment.name()); reason == nil {
				at = i
			}
			break
		}
		if at < 0 {
			all = append(all, fmt.Errorf("%s: %w", fragment.name(), reason))
			continue
		}
		free[at] = nil
	}
	for _, left := range free {
		if left != nil {
			all = append(all, fmt.Errorf("%s was not expected", left.name()))
		}
	}
	return errors.Join(all...)
}

// sameName compares kind, and name and namespace as far as the fragment has them.
func sameName(fragment, candidate object) bool {
	for _, field := range []string{"name", "namespace"} {
		if wanted := fragment.text("metadata", field); wanted != "" && wanted != candidate.text("metadata", field) {
			return false
		}
	}
	return fragment.text("kind") == candidate.text("kind")
}

// contains: maps hold what is named (null: must be absent), lists of named things
// hold those names (`absent: true`: must not), other lists are alike one by one.
func contains(wanted, found any, path string) error {
	switch wanted := wanted.(type) {
	case object:
		return contains(map[string]any(wanted), found, path)
	case map[string]any:
		fields, ok := asMap(found)
		if !ok {
			return fmt.Errorf("%s: expected a map, found %v", path, found)
		}
		for key, value := range wanted {
			inner, present := fields[key]
			if value == nil {
				if present {
					return fmt.Errorf("%s.%s: expected nothing, found %v", path, key, inner)
				}
				continue
			}
			if err := contains(value, inner, path+"."+key); err != nil {
				return err
			}
		}
		return nil
	case []any:
		list, ok := found.([]any)
		if !ok {
			return fmt.Errorf("%s: expected a list, found %v", path, found)
		}
		if named(wanted) {
			return containsNamed(wanted, list, path)
		}
		if len(wanted) != len(list) {
			return fmt.Errorf("%s: expected %d elements, found %v", path, len(wanted), list)
		}
		for i := range wanted {
			if err := contains(wanted[i], list[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	}
	if !reflect.DeepEqual(wanted, found) {
		return fmt.Errorf("%s: expected %#v, found %#v", path, wanted, found)
	}
	return nil
}

func containsNamed(wanted, found []any, path string) error {
	for _, element := range wanted {
		fields := element.(map[string]any)
		var match any
		for _, candidate := range found {
			if other, ok := candidate.(map[string]any); ok && other["name"] == fields["name"] {
				match = candidate
			}
		}
		inner := fmt.Sprintf("%s[%v]", path, fields["name"])
		if fields["absent"] == true {
			if match != nil {
				return fmt.Errorf("%s: expected nothing, found %v", inner, match)
			}
			continue
		}
		if err := contains(fields, match, inner); err != nil {
			return err
		}
	}
	return nil
}

func named(list []any) bool {
	for _, element := range list {
		if fields, ok := element.(map[string]any); !ok || fields["name"] == nil {
			return false
		}
	}
	return len(list) > 0
}

func asMap(value any) (map[string]any, bool) {
	if o, ok := value.(object); ok {
		return o, true
	}
	fields, ok := value.(map[string]any)
	return fields, ok
}
