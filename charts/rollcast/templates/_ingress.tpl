{{/*
One Ingress. Takes root, name, path, streams (whether they pass here) and
annotations (a list of maps, later ones win; the user's come last).

There are two, because limits for streams belong to the streams' paths: the page
keeps the controller's defaults. Streams and short answers share /api/v1, and a
controller cannot tell them apart by prefix; the streams' limits do short answers
no harm.
*/}}
{{- define "rollcast.ingress" -}}
{{- $values := .root.Values -}}
{{- $annotations := dict -}}
{{- range .annotations }}{{ $annotations = merge (deepCopy .) $annotations }}{{ end -}}
{{- if .streams }}{{ include "rollcast.refuseIdle" (dict "root" .root "annotations" $annotations) }}{{ end -}}
{{- $className := $values.exposure.className | default (ternary "nginx" "" (eq $values.exposure.preset "ingress-nginx")) -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "rollcast.labels" .root | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with $className }}
  ingressClassName: {{ . | quote }}
  {{- end }}
  rules:
    - host: {{ $values.exposure.host | quote }}
      http:
        paths:
          - path: {{ .path }}
            pathType: Prefix
            backend:
              service:
                name: {{ include "rollcast.fullname" .root }}
                port:
                  name: http
  {{- if $values.exposure.tls.enabled }}
  tls:
    - hosts:
        - {{ $values.exposure.host | quote }}
      secretName: {{ $values.exposure.tls.secretName | default (printf "%s-tls" (include "rollcast.fullname" .root)) | quote }}
  {{- end }}
{{- end }}

{{/* The preset's keys for streams. */}}
{{- define "rollcast.streamAnnotations" -}}
{{- $plan := include "rollcast.plan" . | fromJson -}}
{{- if eq .Values.exposure.preset "ingress-nginx" -}}
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ int $plan.idle | quote }}
{{- end }}
{{- end }}

{{/* The user's annotation wins, so it is what must fit the heartbeat. */}}
{{- define "rollcast.refuseIdle" -}}
{{- $key := "nginx.ingress.kubernetes.io/proxy-read-timeout" -}}
{{- $plan := include "rollcast.plan" .root | fromJson -}}
{{- $heartbeat := int $plan.heartbeat -}}
{{- $idle := get .annotations $key | default "0" | int -}}
{{- if and $idle (lt $idle (add (mul 3 $heartbeat) 5 | int)) -}}
{{- include "rollcast.idleTooShort" (dict "what" $key "idle" $idle "heartbeat" $heartbeat) }}
{{- end -}}
{{- end }}
