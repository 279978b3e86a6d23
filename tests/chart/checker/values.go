package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// checkValues: schema and defaults name the same values, the schema is closed, each
// value is explained, and chart, program and image have one version.
func checkValues(r *report, root string) {
	folder := filepath.Join(root, "charts", "rollcast")
	var values, schema, about map[string]any
	text := read(r, filepath.Join(folder, "values.yaml"), &values)
	read(r, filepath.Join(folder, "values.schema.json"), &schema)
	read(r, filepath.Join(folder, "Chart.yaml"), &about)

	// What an umbrella chart adds.
	foreign := map[string]bool{".global": true, ".enabled": true}
	r.check("values and schema name the same", sameValues(schema, values, "", foreign))
	r.check("every value is explained", explained(text))

	cargo, err := os.ReadFile(filepath.Join(root, "Cargo.toml"))
	r.check("Cargo.toml", err)
	version := regexp.MustCompile(`(?m)^version = "(.*)"$`).FindSubmatch(cargo)
	if version == nil {
		r.check("version", errors.New("Cargo.toml has none"))
		return
	}
	for _, field := range []string{"version", "appVersion"} {
		var err error
		if about[field] != string(version[1]) {
			err = fmt.Errorf("is %v, Cargo.toml says %s", about[field], version[1])
		}
		r.check("Chart.yaml "+field, err)
	}
}

func read(r *report, file string, into *map[string]any) string {
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.UnmarshalStrict(text, into)
	}
	r.check("reading "+filepath.Base(file), err)
	return string(text)
}

func sameValues(schema, values map[string]any, path string, foreign map[string]bool) error {
	properties, _ := schema["properties"].(map[string]any)
	if properties == nil {
		return nil // free-form: annotations, resources, …
	}
	if schema["additionalProperties"] != false {
		return fmt.Errorf("%s: the schema takes names that nobody reads", path)
	}
	for name, inner := range properties {
		value, present := values[name]
		if !present && !foreign[path+"."+name] {
			return fmt.Errorf("%s.%s is in the schema and has no default", path, name)
		}
		below, _ := value.(map[string]any)
		if err := sameValues(inner.(map[string]any), below, path+"."+name, foreign); err != nil {
			return err
		}
	}
	for name := range values {
		if properties[name] == nil {
			return fmt.Errorf("%s.%s has a default and is not in the schema", path, name)
		}
	}
	return nil
}

// Names that say all there is to say, or mean the same as in every Pod.
var plain = map[string]bool{
	"pullPolicy": true, "annotations": true, "create": true, "enabled": true, "interval": true,
	"podAnnotations": true, "podLabels": true, "priorityClassName": true, "runtimeClassName": true,
	"nodeSelector": true, "tolerations": true, "affinity": true, "topologySpreadConstraints": true,
	"type": true,
}

// explained: a value has a comment above it, or one above the map it is in.
func explained(text string) error {
	key := regexp.MustCompile(`^( *)([A-Za-z]+):(.*)$`)
	comment, covered := false, -1
	var bare []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			comment = true
			continue
		}
		match := key.FindStringSubmatch(line)
		if match == nil {
			comment = false
			continue
		}
		indent := len(match[1])
		if covered >= 0 && indent <= covered {
			covered = -1
		}
		leaf := strings.TrimSpace(match[3]) != ""
		switch {
		case comment && !leaf && covered < 0:
			covered = indent
		case !comment && leaf && covered < 0 && !plain[match[2]]:
			bare = append(bare, match[2])
		}
		comment = false
	}
	if len(bare) > 0 {
		sort.Strings(bare)
		return fmt.Errorf("no comment: %s", strings.Join(bare, ", "))
	}
	return nil
}

// checkOptions: the program knows every name that the chart sets. Nobody would
// notice otherwise: an unknown name in the environment is silently nothing.
func checkOptions(r *report, c chart) {
	name := regexp.MustCompile(`\bROLLCAST_[A-Z_]+\b`)
	known := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(c.root, "src"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".rs" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range name.FindAllString(string(text), -1) {
			known[found] = true
		}
		return err
	})
	r.check("reading the program's options", err)
	if len(known) == 0 {
		fmt.Println("the program names no options yet; not compared")
		return
	}
	text, err := c.render("--set", "otlp.endpoint=http://collector:4317")
	r.check("rendering every option", err)
	for _, found := range name.FindAllString(text, -1) {
		var err error
		if !known[found] {
			err = errors.New("src has no such option")
		}
		r.check(found, err)
	}
}
