package main

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// checkInvariants looks at what must hold whatever the values are, and hands back
// the objects as they stand.
func checkInvariants(r *report, name, text string) []object {
	r.check(name+": is tidy", tidy(text))
	objects, err := parse(text)
	r.check(name+": is YAML", err)
	r.check(name+": holds nothing empty", hollow(objects))
	typed, err := decode(text)
	r.check(name+": has only fields that Kubernetes knows", err)
	if err == nil {
		r.check(name+": names and labels", identities(typed))
		r.check(name+": rights", rights(typed))
		r.check(name+": Pods", pods(typed))
		r.check(name+": references", references(typed))
	}
	return objects
}

func tidy(text string) error {
	for number, line := range strings.Split(text, "\n") {
		if strings.TrimRight(line, " \t") != line || strings.Contains(line, "\t") {
			return fmt.Errorf("line %d has a tab or ends in space: %q", number+1, line)
		}
	}
	return nil
}

// hollow finds empty maps, empty lists and null: leftovers of a template.
func hollow(objects []object) error {
	var walk func(value any, path string) error
	walk = func(value any, path string) error {
		switch value := value.(type) {
		case nil:
			return fmt.Errorf("%s is null", path)
		case map[string]any:
			if len(value) == 0 {
				return fmt.Errorf("%s is an empty map", path)
			}
			for key, inner := range value {
				if err := walk(inner, path+"."+key); err != nil {
					return err
				}
			}
		case []any:
			if len(value) == 0 {
				return fmt.Errorf("%s is an empty list", path)
			}
			for i, inner := range value {
				if err := walk(inner, fmt.Sprintf("%s[%d]", path, i)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, o := range objects {
		if err := walk(map[string]any(o), o.name()); err != nil {
			return err
		}
	}
	return nil
}

// identities: unique, a namespace where there is one, names that Services may have,
// and the common labels.
func identities(objects []runtime.Object) error {
	seen := map[string]bool{}
	for _, o := range objects {
		m, err := meta.Accessor(o)
		if err != nil {
			return err
		}
		kind := o.GetObjectKind().GroupVersionKind().Kind
		id := kind + " " + m.GetNamespace() + "/" + m.GetName()
		if seen[id] {
			return fmt.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if strings.HasPrefix(kind, "Cluster") != (m.GetNamespace() == "") {
			return fmt.Errorf("%s: wrong about its namespace", id)
		}
		if _, isRole := o.(*rbacv1.Role); !isRole && !strings.HasSuffix(kind, "Binding") && kind != "ClusterRole" {
			if problems := validation.IsDNS1035Label(m.GetName()); len(problems) > 0 {
				return fmt.Errorf("%s: %s", id, problems)
			}
		}
		for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance"} {
			if m.GetLabels()[key] == "" {
				return fmt.Errorf("%s has no label %s", id, key)
			}
		}
		for key, value := range m.GetLabels() {
			if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
				return fmt.Errorf("%s: label %s: %s", id, key, problems)
			}
		}
	}
	return nil
}

// All that the account may do, written down a second time on purpose: a change of
// the chart's rights must be made here too, and be seen in review.
var allowed = map[string]string{
	"/pods": "get list watch", "/pods/log": "get", "/events": "list watch",
	"/namespaces": "get",
	"apps/controllerrevisions": "get list watch", "apps/daemonsets": "get list watch",
	"apps/deployments": "get list watch", "apps/replicasets": "get list watch",
	"apps/statefulsets": "get list watch",
	"batch/cronjobs":    "get list watch", "batch/jobs": "get list watch",
}

// What a value may leave out.
const optional, optionalVerbs = "argoproj.io/rollouts", "get list watch"

func rights(objects []runtime.Object) error {
	account, accountNamespace := "", ""
	for _, o := range objects {
		if d, ok := o.(*appsv1.Deployment); ok {
			account, accountNamespace = d.Spec.Template.Spec.ServiceAccountName, d.Namespace
		}
	}
	roles := map[string]bool{"ClusterRole /system:auth-delegator": true}
	for _, o := range objects {
		var rules []rbacv1.PolicyRule
		switch o := o.(type) {
		case *rbacv1.Role:
			rules = o.Rules
			roles["Role "+o.Namespace+"/"+o.Name] = true
		case *rbacv1.ClusterRole:
			rules = o.Rules
			roles["ClusterRole /"+o.Name] = true
		default:
			continue
		}
		granted := map[string]string{}
		for _, rule := range rules {
			if len(rule.NonResourceURLs) > 0 || len(rule.ResourceNames) > 0 {
				return errors.New("a rule has names or URLs")
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					granted[group+"/"+resource] = strings.Join(rule.Verbs, " ")
				}
			}
		}
		if granted[optional] == optionalVerbs {
			delete(granted, optional)
		}
		if !reflect.DeepEqual(granted, allowed) {
			return fmt.Errorf("granted %v", granted)
		}
	}
	for _, o := range objects {
		var subjects []rbacv1.Subject
		var role string
		switch o := o.(type) {
		case *rbacv1.RoleBinding:
			subjects, role = o.Subjects, o.RoleRef.Kind+" "+o.Namespace+"/"+o.RoleRef.Name
		case *rbacv1.ClusterRoleBinding:
			subjects, role = o.Subjects, o.RoleRef.Kind+" /"+o.RoleRef.Name
		default:
			continue
		}
		if !roles[role] {
			return fmt.Errorf("%s is bound, and is not ours", role)
		}
		only := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: accountNamespace}}
		if !reflect.DeepEqual(subjects, only) {
			return fmt.Errorf("%s is bound to %v", role, subjects)
		}
	}
	return nil
}

// pods: restricted by the API server's own judgement, and what the chart promises
// beyond that.
func pods(objects []runtime.Object) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	count := 0
	for _, o := range objects {
		if account, ok := o.(*corev1.ServiceAccount); ok && !isFalse(account.AutomountServiceAccountToken) {
			return errors.New("the account hands its token to every Pod")
		}
		deployment, ok := o.(*appsv1.Deployment)
		if !ok {
			continue
		}
		count++
		pod := deployment.Spec.Template
		restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
		if !result.Allowed {
			return fmt.Errorf("not restricted: %s: %s", result.ForbiddenReason(), result.ForbiddenDetail())
		}
		if !isFalse(pod.Spec.EnableServiceLinks) || pod.Spec.AutomountServiceAccountToken == nil {
			return errors.New("service links are on, or the token is left to chance")
		}
		if len(pod.Spec.Containers) != 1 || pod.Spec.TerminationGracePeriodSeconds == nil {
			return errors.New("more than one container, or no time to drain")
		}
		if err := container(pod.Spec.Containers[0], *pod.Spec.TerminationGracePeriodSeconds); err != nil {
			return err
		}
		if err := store(deployment.Spec, objects); err != nil {
			return err
		}
	}
	if count != 1 {
		return fmt.Errorf("%d Deployments", count)
	}
	return nil
}

// store: a volume is there for stored history only, which one process at a time may have, and which
// that process can write.
func store(spec appsv1.DeploymentSpec, objects []runtime.Object) error {
	pod := spec.Template.Spec
	env := map[string]string{}
	for _, variable := range pod.Containers[0].Env {
		env[variable.Name] = variable.Value
	}
	claims := map[string]bool{}
	for _, o := range objects {
		if claim, ok := o.(*corev1.PersistentVolumeClaim); ok {
			claims[claim.Name] = true
		}
	}
	mounts := pod.Containers[0].VolumeMounts
	if env["ROLLCAST_STORE"] != "file" {
		if len(pod.Volumes)+len(mounts)+len(claims) > 0 || spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
			return errors.New("nothing is stored, and there is a volume, or an upgrade interrupts the service")
		}
		return nil
	}
	if spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		return errors.New("two Pods may have the stored history")
	}
	if len(pod.Volumes) != 1 || pod.Volumes[0].PersistentVolumeClaim == nil || len(mounts) != 1 || mounts[0].Name != pod.Volumes[0].Name {
		return errors.New("stored history has no volume of its own")
	}
	if !strings.HasPrefix(env["ROLLCAST_STORE_PATH"], mounts[0].MountPath+"/") {
		return fmt.Errorf("%s is not on the volume", env["ROLLCAST_STORE_PATH"])
	}
	delete(claims, pod.Volumes[0].PersistentVolumeClaim.ClaimName)
	if len(claims) > 0 {
		return errors.New("there is a claim that nobody uses")
	}
	if user := pod.SecurityContext.RunAsUser; user != nil && pod.SecurityContext.FSGroup == nil {
		return errors.New("the volume cannot be written")
	}
	return nil
}

func container(c corev1.Container, grace int64) error {
	// Restricted Pods have one: EvaluatePod came first.
	if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
		return errors.New("the root filesystem can be written")
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		return errors.New("resources are missing")
	}
	probes := map[string]*corev1.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe}
	for path, probe := range probes {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.String() != "admin" {
			return fmt.Errorf("no probe of %s on the admin port", path)
		}
	}
	if c.StartupProbe == nil || c.StartupProbe.HTTPGet == nil || c.StartupProbe.HTTPGet.Port.String() != "admin" {
		return errors.New("no startup probe on the admin port")
	}
	seen := map[string]string{}
	for _, variable := range c.Env {
		if _, twice := seen[variable.Name]; twice {
			return fmt.Errorf("%s is set twice", variable.Name)
		}
		seen[variable.Name] = variable.Value
	}
	var times [3]int64
	for i, name := range []string{"ROLLCAST_DRAIN_DELAY", "ROLLCAST_DRAIN_WINDOW", "ROLLCAST_HEARTBEAT"} {
		seconds, err := strconv.ParseInt(strings.TrimSuffix(seen[name], "s"), 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		times[i] = seconds
	}
	least := times[0] + times[1] + 5
	if seen["ROLLCAST_STORE"] == "file" {
		least += 5
	}
	if grace < least {
		return fmt.Errorf("killed after %d s, and needs %d", grace, least)
	}
	return nil
}

// references: what one object says of another is true.
func references(objects []runtime.Object) error {
	var pod *corev1.PodTemplateSpec
	services := map[string]*corev1.Service{}
	for _, o := range objects {
		switch o := o.(type) {
		case *appsv1.Deployment:
			pod = &o.Spec.Template
			if !labels.SelectorFromSet(o.Spec.Selector.MatchLabels).Matches(labels.Set(pod.Labels)) {
				return errors.New("the Deployment does not select its own Pods")
			}
		case *corev1.Service:
			services[o.Name] = o
		}
	}
	if pod == nil {
		return errors.New("there is no Deployment")
	}
	ports := map[string]bool{}
	for _, port := range pod.Spec.Containers[0].Ports {
		ports[port.Name] = true
	}
	for name, service := range services {
		if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			return fmt.Errorf("Service %s selects nothing", name)
		}
		for _, port := range service.Spec.Ports {
			if !ports[port.TargetPort.String()] {
				return fmt.Errorf("Service %s goes to port %s, which no container has", name, port.TargetPort.String())
			}
			if public := service.Spec.ClusterIP != corev1.ClusterIPNone; public && port.TargetPort.String() == "admin" {
				return fmt.Errorf("Service %s has an address and the admin port", name)
			}
		}
	}
	for _, o := range objects {
		switch o := o.(type) {
		case *networkingv1.Ingress:
			for _, rule := range o.Spec.Rules {
				if rule.Host == "" {
					return fmt.Errorf("Ingress %s takes every host", o.Name)
				}
				for _, path := range rule.HTTP.Paths {
					service := services[path.Backend.Service.Name]
					if service == nil || service.Spec.Ports[0].Name != path.Backend.Service.Port.Name {
						return fmt.Errorf("Ingress %s leads nowhere", o.Name)
					}
				}
			}
		case *networkingv1.NetworkPolicy:
			if !labels.SelectorFromSet(o.Spec.PodSelector.MatchLabels).Matches(labels.Set(pod.Labels)) {
				return errors.New("the NetworkPolicy selects nothing")
			}
		}
	}
	return nil
}

func isFalse(flag *bool) bool { return flag != nil && !*flag }
