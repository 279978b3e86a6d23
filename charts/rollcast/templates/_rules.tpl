{{/*
All that rollcast reads of a cluster. Nothing is written, and no Secret, node or
wildcard is in it: what a viewer may see is asked for each viewer (auth-delegator).
*/}}
{{- define "rollcast.rules" -}}
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["get", "list", "watch"]
- apiGroups: [""]
  resources: ["pods/log"]
  verbs: ["get"]
- apiGroups: [""]
  resources: ["namespaces"]
  verbs: ["get"]
- apiGroups: [""]
  resources: ["events"]
  verbs: ["list", "watch"]
- apiGroups: ["apps"]
  resources: ["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"]
  verbs: ["get", "list", "watch"]
- apiGroups: ["batch"]
  resources: ["cronjobs", "jobs"]
  verbs: ["get", "list", "watch"]
{{- if .Values.rbac.argoRollouts }}
- apiGroups: ["argoproj.io"]
  resources: ["rollouts"]
  verbs: ["get", "list", "watch"]
{{- end }}
{{- end }}

{{- define "rollcast.subjects" -}}
- kind: ServiceAccount
  name: {{ include "rollcast.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
