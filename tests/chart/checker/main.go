// Command checker renders the chart with every Helm it is given and looks at what
// came out: the objects that each set of values must give, what must hold for all
// of them, the values that must be refused, and the manifests made from the chart.
//
// It is written in Go for two libraries: the API's own types decode strictly, so
// that a misspelt field fails, and the Pod Security evaluator of the API server
// itself says whether a Pod is `restricted`.
//
// Usage: checker ROOT HELM...
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The release that every set of values is rendered for. Its name differs from the
// chart's, and its namespace from the name, so that a mix-up shows.
const (
	releaseName      = "release"
	releaseNamespace = "watch"
)

type report struct{ passed, failed int }

// check counts one statement, and says what is wrong with those that do not hold.
func (r *report) check(name string, err error) {
	if err == nil {
		r.passed++
		return
	}
	r.failed++
	fmt.Printf("FAILED: %s: %v\n", name, err)
}

// The oldest Kubernetes that the chart is for. Said always, for what a Helm assumes
// where there is no cluster depends on how it was built.
const kubeVersion = "1.29.0"

type chart struct{ root, helm, version string }

// run starts helm; its error carries what helm said.
func (c chart) run(arguments ...string) (string, error) {
	command := exec.Command(c.helm, arguments...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), errors.New(strings.TrimSpace(stderr.String() + stdout.String()))
	}
	return stdout.String(), nil
}

func (c chart) folder() string { return filepath.Join(c.root, "charts", "rollcast") }

func (c chart) render(arguments ...string) (string, error) {
	return c.run(append([]string{"template", releaseName, c.folder(), "--namespace", releaseNamespace,
		"--kube-version", kubeVersion}, arguments...)...)
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: checker ROOT HELM...")
		os.Exit(2)
	}
	root := os.Args[1]
	var r report
	for _, helm := range os.Args[2:] {
		c := chart{root: root, helm: helm}
		version, err := c.run("version", "--short")
		c.version = strings.TrimSpace(version)
		fmt.Printf("with %s (%s)\n", helm, c.version)
		r.check("helm starts", err)
		checkLint(&r, c)
		checkCases(&r, c)
		checkMatrix(&r, c)
		checkRefused(&r, c)
		checkNotes(&r, c)
		checkManifests(&r, c)
	}
	checkValues(&r, root)
	checkOptions(&r, chart{root: root, helm: os.Args[2]})
	fmt.Printf("%d passed, %d failed\n", r.passed, r.failed)
	if r.failed > 0 {
		os.Exit(1)
	}
}

// files lists the YAML files of a folder of tests/chart; none is a mistake.
func files(r *report, root, folder string) []string {
	found, err := filepath.Glob(filepath.Join(root, "tests", "chart", folder, "*.yaml"))
	if err == nil && len(found) == 0 {
		err = errors.New("there are none")
	}
	r.check("cases in "+folder, err)
	return found
}

func caseName(file string) string { return strings.TrimSuffix(filepath.Base(file), ".yaml") }
