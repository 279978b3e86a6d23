package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// object is one document as it stands in the YAML.
type object map[string]any

// text walks down maps; what is not there or no text is empty.
func (o object) text(path ...string) string {
	var value any = map[string]any(o)
	for _, key := range path {
		fields, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = fields[key]
	}
	text, _ := value.(string)
	return text
}

func (o object) name() string {
	return strings.Trim(o.text("kind")+" "+o.text("metadata", "namespace")+"/"+o.text("metadata", "name"), " /")
}

// documents splits a stream and leaves out those that hold nothing.
func documents(text string) ([]string, error) {
	reader := yamlreader.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	var all []string
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var content any
		if err := yaml.UnmarshalStrict(document, &content); err != nil {
			return nil, err
		}
		if content != nil {
			all = append(all, string(document))
		}
	}
}

// parse reads a stream; a key that stands twice is an error.
func parse(text string) ([]object, error) {
	parts, err := documents(text)
	if err != nil {
		return nil, err
	}
	all := make([]object, 0, len(parts))
	for _, part := range parts {
		var o object
		if err := yaml.UnmarshalStrict([]byte(part), &o); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, part)
		}
		all = append(all, o)
	}
	return all, nil
}

var codecs = func() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict)
}()

// Kinds that Kubernetes itself does not have, and so has no types for.
var foreign = map[string]bool{"ServiceMonitor": true}

// decode reads a stream into the API's own types; an unknown field is an error.
func decode(text string) ([]runtime.Object, error) {
	parts, err := documents(text)
	if err != nil {
		return nil, err
	}
	var all []runtime.Object
	for _, part := range parts {
		var o object
		if err := yaml.UnmarshalStrict([]byte(part), &o); err != nil {
			return nil, err
		}
		if foreign[o.text("kind")] {
			continue
		}
		typed, _, err := codecs.UniversalDeserializer().Decode([]byte(part), nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.name(), err)
		}
		all = append(all, typed)
	}
	return all, nil
}
