{{/* Names, labels and the image: what several objects must agree on. */}}

{{- define "rollcast.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* Room for "-metrics" within the 63 characters that a Service may have. */}}
{{- define "rollcast.fullname" -}}
{{- $name := include "rollcast.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/*
Roles may lie in namespaces of others, and ClusterRoles lie in none: their names
carry the release's namespace, so that two releases never share one. A colon is
in neither part, so no two pairs read the same.
*/}}
{{- define "rollcast.rbacName" -}}
{{- printf "%s:%s" .Release.Namespace (include "rollcast.fullname" .) }}
{{- end }}

{{- define "rollcast.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "rollcast.fullname" .) }}
{{- end }}

{{/* What a selector may hold: it can never change after the first install. */}}
{{- define "rollcast.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rollcast.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Labels of an object. The user's are added, and replace none of ours. */}}
{{- define "rollcast.labels" -}}
{{- include "rollcast.labelsWith" (dict "root" . "more" dict) }}
{{- end }}

{{/* Takes root and more, a map of labels for this object only. */}}
{{- define "rollcast.labelsWith" -}}
{{- $root := .root -}}
{{- $labels := include "rollcast.selectorLabels" $root | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- toYaml (merge $labels .more $root.Values.commonLabels) }}
{{- end }}

{{/*
Labels of the Pod. Neither the chart's version nor that of the program is among
them: a change of labels alone would send every stream away.
*/}}
{{- define "rollcast.podLabels" -}}
{{- toYaml (merge (include "rollcast.selectorLabels" . | fromYaml) .Values.podLabels .Values.commonLabels) }}
{{- end }}

{{- define "rollcast.image" -}}
{{- $image := .Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The namespaces that are watched, as JSON; none means all. */}}
{{- define "rollcast.namespaces" -}}
{{- if eq .Values.rbac.scope "cluster" -}}
[]
{{- else -}}
{{- .Values.rbac.namespaces | default (list .Release.Namespace) | toJson }}
{{- end }}
{{- end }}
