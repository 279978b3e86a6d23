package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func checkLint(r *report, c chart) {
	_, err := c.run("lint", "--strict", c.folder(), "--kube-version", kubeVersion)
	r.check("lint", err)
	for _, file := range files(r, c.root, "values") {
		_, err := c.run("lint", "--strict", c.folder(), "--kube-version", kubeVersion, "--values", file)
		r.check("lint with "+caseName(file), err)
	}
}

// checkCases renders each file of values/ and compares it with its namesake in
// expected/, which must name every object.
func checkCases(r *report, c chart) {
	for _, file := range files(r, c.root, "values") {
		name := caseName(file)
		text, err := c.render("--values", file)
		r.check(name+": renders", err)
		if err != nil {
			continue
		}
		objects := checkInvariants(r, name, text)
		wanted, err := os.ReadFile(filepath.Join(c.root, "tests", "chart", "expected", name+".yaml"))
		r.check(name+": has an expectation", err)
		if err != nil {
			continue
		}
		fragments, err := parse(string(wanted))
		r.check(name+": the expectation is YAML", err)
		r.check(name+": objects are as expected", compare(fragments, objects))
	}
}

// checkMatrix renders every preset with every scope, for what must always hold.
func checkMatrix(r *report, c chart) {
	for _, preset := range []string{"none", "ingress-nginx", "generic"} {
		for _, scope := range []string{"namespaces", "cluster"} {
			arguments := []string{"--set", "exposure.preset=" + preset, "--set", "rbac.scope=" + scope}
			if preset != "none" {
				arguments = append(arguments, "--set", "exposure.host=logs.example.com")
			}
			name := preset + " with " + scope
			text, err := c.render(arguments...)
			r.check(name+": renders", err)
			if err == nil {
				checkInvariants(r, name, text)
			}
		}
	}
}

// checkRefused renders each file of refused/; its first line says what Helm must
// answer. `helm lint` does not fail on `fail`, so lint proves nothing here.
func checkRefused(r *report, c chart) {
	for _, file := range files(r, c.root, "refused") {
		name := "refused " + caseName(file)
		text, err := os.ReadFile(file)
		first, _, _ := strings.Cut(string(text), "\n")
		message, marked := strings.CutPrefix(first, "# refused: ")
		if err == nil && !marked {
			err = errors.New("its first line must be `# refused: MESSAGE`")
		}
		if err == nil {
			_, refusal := c.render("--values", file)
			switch {
			case refusal == nil:
				err = errors.New("was accepted")
			case !strings.Contains(refusal.Error(), message):
				err = fmt.Errorf("expected %q in: %v", message, refusal)
			}
		}
		r.check(name, err)
	}
}

// checkNotes asks for what a user reads after `helm install`: `helm template` does
// not render it. Helm 3 asks a cluster even for this.
func checkNotes(r *report, c chart) {
	if strings.HasPrefix(c.version, "v3.") {
		fmt.Println("notes are left out: Helm 3 renders them in a cluster only")
		return
	}
	for _, file := range files(r, c.root, "values") {
		name := "notes of " + caseName(file)
		text, err := c.run("install", releaseName, c.folder(), "--namespace", releaseNamespace,
			"--dry-run=client", "--values", file)
		_, notes, found := strings.Cut(text, "\nNOTES:\n")
		if err == nil && !found {
			err = errors.New("there are none")
		}
		for _, needed := range []string{"kubectl -n " + releaseNamespace + " rollout status", "create token", "curl -N"} {
			if err == nil && !strings.Contains(notes, needed) {
				err = fmt.Errorf("%q is missing", needed)
			}
		}
		for _, line := range strings.Split(notes, "\n") {
			if err == nil && (strings.HasSuffix(line, " ") || strings.Contains(line, "%!")) {
				err = fmt.Errorf("a line reads %q", line)
			}
		}
		r.check(name, err)
	}
}

// checkManifests renders manifests/ anew and compares.
func checkManifests(r *report, c chart) {
	folder, err := os.MkdirTemp("", "manifests")
	if err != nil {
		r.check("manifests", err)
		return
	}
	defer os.RemoveAll(folder)
	command := exec.Command(filepath.Join(c.root, "manifests", "render"), folder)
	command.Env = append(os.Environ(), "HELM="+c.helm)
	if output, err := command.CombinedOutput(); err != nil {
		r.check("manifests", fmt.Errorf("%w: %s", err, output))
		return
	}
	for _, name := range []string{"install.yaml", "install-cluster.yaml"} {
		fresh, freshErr := os.ReadFile(filepath.Join(folder, name))
		kept, keptErr := os.ReadFile(filepath.Join(c.root, "manifests", name))
		err := errors.Join(freshErr, keptErr)
		if err == nil && string(fresh) != string(kept) {
			err = errors.New("differs from the chart: run manifests/render and commit")
		}
		r.check("manifests/"+name, err)
		_, err = decode(string(kept))
		r.check("manifests/"+name+" is valid", err)
	}
}
