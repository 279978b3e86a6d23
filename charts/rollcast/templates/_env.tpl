{{/*
The program's options, as its environment. Sizes, times and lists are strings in
the program's own notation. Set only here: extraEnv may add names, never repeat
one, since server-side apply refuses a list with a name twice.
*/}}
{{- define "rollcast.env" -}}
{{- $plan := include "rollcast.plan" . | fromJson -}}
{{- $namespaces := include "rollcast.namespaces" . | fromJsonArray -}}
{{- $env := list -}}
{{- if $namespaces -}}
{{- $env = append $env (list "ROLLCAST_NAMESPACE" (join "," $namespaces) "rbac.namespaces") -}}
{{- end -}}
{{- /* Behind an Ingress all clients come from its address, which must not be limited. */ -}}
{{- $proxied := ne .Values.exposure.preset "none" -}}
{{- $perSource := ternary 0 200 $proxied -}}
{{- $failures := ternary 0 10 $proxied -}}
{{- /* 0 is a choice, so `default` will not do. */ -}}
{{- if not (kindIs "invalid" .Values.limits.connectionsPerSource) }}{{ $perSource = .Values.limits.connectionsPerSource }}{{ end -}}
{{- if not (kindIs "invalid" .Values.limits.tokenFailures) }}{{ $failures = .Values.limits.tokenFailures }}{{ end -}}
{{- $env = concat $env (list
  (list "ROLLCAST_LISTEN" "[::]:8080" "")
  (list "ROLLCAST_ADMIN_LISTEN" "[::]:9090" "")
  (list "ROLLCAST_AUTH" .Values.auth "auth")
  (list "ROLLCAST_TOKEN_AUDIENCE" .Values.tokenAudience "tokenAudience")
  (list "ROLLCAST_HEARTBEAT" (printf "%ds" (int $plan.heartbeat)) "stream.heartbeatSeconds")
  (list "ROLLCAST_STREAM_LIFETIME" (printf "%ds" (int $plan.lifetime)) "stream.lifetimeSeconds")
  (list "ROLLCAST_DRAIN_DELAY" (printf "%ds" (int $plan.delay)) "shutdown.drainDelaySeconds")
  (list "ROLLCAST_DRAIN_WINDOW" (printf "%ds" (int $plan.window)) "shutdown.drainWindowSeconds")
  (list "ROLLCAST_JOURNAL_BYTES" .Values.journal.bytes "journal.bytes")
  (list "ROLLCAST_JOURNAL_WORKLOAD_BYTES" .Values.journal.workloadBytes "journal.workloadBytes")
  (list "ROLLCAST_JOURNAL_AGE" .Values.journal.age "journal.age")
  (list "ROLLCAST_STREAMS_PER_USER" (int .Values.limits.streamsPerUser | toString) "limits.streamsPerUser")
  (list "ROLLCAST_CONNECTIONS_PER_SOURCE" (int $perSource | toString) "limits.connectionsPerSource")
  (list "ROLLCAST_TOKEN_FAILURES" (int $failures | toString) "limits.tokenFailures")
  (list "ROLLCAST_MAX_FOLLOWERS" (int .Values.maxFollowers | toString) "maxFollowers")
  (list "ROLLCAST_LOG_FORMAT" .Values.log.format "log.format")
  (list "ROLLCAST_LOG" .Values.log.filter "log.filter")
) -}}
{{- if eq .Values.store.kind "file" -}}
{{- $env = concat $env (list
  (list "ROLLCAST_STORE" "file" "store.kind")
  (list "ROLLCAST_STORE_PATH" (include "rollcast.storePath" .) "")
  (list "ROLLCAST_STORE_BYTES" .Values.store.bytes "store.bytes")
  (list "ROLLCAST_STORE_SYNC" .Values.store.sync "store.sync")
) -}}
{{- end -}}
{{- with .Values.otlp.endpoint -}}
{{- $env = append $env (list "ROLLCAST_OTLP_ENDPOINT" . "otlp.endpoint") -}}
{{- end -}}
{{- $source := dict "ROLLCAST_NAMESPACE" "rbac.namespaces" "ROLLCAST_OTLP_ENDPOINT" "otlp.endpoint" "ROLLCAST_STORE" "store.kind" "ROLLCAST_STORE_PATH" "store.kind" "ROLLCAST_STORE_BYTES" "store.bytes" "ROLLCAST_STORE_SYNC" "store.sync" -}}
{{- range $entry := $env }}
- name: {{ index $entry 0 }}
  value: {{ index $entry 1 | quote }}
{{- $_ := set $source (index $entry 0) (index $entry 2) -}}
{{- end }}
{{- range $extra := .Values.extraEnv }}
{{- if hasKey $source $extra.name -}}
{{- $value := get $source $extra.name -}}
{{- fail (printf "extraEnv sets %s, which the chart sets itself. %s." $extra.name (ternary (printf "Use %s" $value) "Leave it out: it must fit the ports and volumes of the Pod" (ne $value ""))) }}
{{- end }}
- {{ toYaml $extra | nindent 2 | trim }}
{{- end }}
{{- end }}
