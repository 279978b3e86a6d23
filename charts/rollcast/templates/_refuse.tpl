{{/*
Values that are well-formed and cannot work. Each message names the value, says
what would go wrong, and what to set instead. (Times are checked in _plan.tpl.)
*/}}
{{- define "rollcast.refuse" -}}
{{- if ne .Values.auth "token" -}}
{{- fail (printf "auth: %s cannot work in a cluster: without tokens rollcast listens on loopback only, which neither probes nor Services reach. Leave it at token; for a look around without a login run `rollcast demo`." .Values.auth) }}
{{- end -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail (printf "replicas: %d is more than 1: each replica keeps a journal of its own, and a stream that comes back to another one resumes only approximately. Set it to 1." (int .Values.replicas)) }}
{{- end -}}
{{- if and (eq .Values.rbac.scope "cluster") .Values.rbac.namespaces -}}
{{- fail "rbac.namespaces is set but rbac.scope is cluster, which watches every namespace. Leave rbac.namespaces out, or set rbac.scope to namespaces." }}
{{- end -}}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: the Pod would run as the namespace's default account, whose rights every other Pod has too. Set serviceAccount.name." }}
{{- end -}}
{{- if and (ne .Values.exposure.preset "none") (not .Values.exposure.host) -}}
{{- fail (printf "exposure.preset: %s needs exposure.host, the host name that people open; without it the Ingress would take every host's traffic." .Values.exposure.preset) }}
{{- end -}}
{{- if and (eq .Values.exposure.preset "none") .Values.exposure.host -}}
{{- fail (printf "exposure.host: %s has no effect while exposure.preset is none. Set exposure.preset to ingress-nginx or generic, or leave the host out." .Values.exposure.host) }}
{{- end -}}
{{- include "rollcast.refuseMemory" . }}
{{- include "rollcast.refuseStore" . }}
{{- end }}

{{/* What the program would refuse at its start, and volumes that cannot hold it. */}}
{{- define "rollcast.refuseStore" -}}
{{- $volume := .Values.store.volume -}}
{{- if eq .Values.store.kind "none" -}}
{{- if or $volume.existingClaim $volume.size $volume.storageClass $volume.annotations -}}
{{- fail "store.volume is set but store.kind is none, which stores nothing. Set store.kind to file, or leave store.volume out." }}
{{- end -}}
{{- else -}}
{{- $bytes := include "rollcast.bytes" .Values.store.bytes | int64 -}}
{{- if lt $bytes (include "rollcast.bytes" .Values.journal.bytes | int64 | mul 2) -}}
{{- fail (printf "store.bytes: %s is less than twice journal.bytes: %s. Raise the first or lower the second." .Values.store.bytes .Values.journal.bytes) }}
{{- end -}}
{{- if and $volume.existingClaim (or $volume.size $volume.storageClass $volume.annotations) -}}
{{- fail (printf "store.volume.existingClaim: %s is there already: size, storageClass and annotations are for a claim that the chart makes. Leave them out." $volume.existingClaim) }}
{{- end -}}
{{- $context := .Values.podSecurityContext | default dict -}}
{{- if and $context.runAsUser (not $context.runAsGroup) (not (hasKey $context "fsGroup")) -}}
{{- fail (printf "podSecurityContext.runAsUser: %v is set without runAsGroup or fsGroup: a new volume belongs to root, and the program could not write to it. Set podSecurityContext.fsGroup, or leave all three to the platform." $context.runAsUser) }}
{{- end -}}
{{- if $volume.size -}}
{{- $needed := include "rollcast.storeNeeds" . | int64 -}}
{{- if lt (include "rollcast.bytes" $volume.size | int64) $needed -}}
{{- fail (printf "store.volume.size: %s is too small for store.bytes: %s: the volume would run full. Raise it to at least %dMi." $volume.size .Values.store.bytes (div (add $needed 1048575) 1048576)) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The journal is the one thing that grows to its bound in every healthy cluster.
Beside it go 64 MiB of encoded views and 128 MiB for the index, the followers, what
waits for the store, and the program itself.
*/}}
{{- define "rollcast.refuseMemory" -}}
{{- $journal := include "rollcast.bytes" .Values.journal.bytes | int64 -}}
{{- if gt (include "rollcast.bytes" .Values.journal.workloadBytes | int64) $journal -}}
{{- fail (printf "journal.workloadBytes: %s is more than journal.bytes: %s. Lower the first or raise the second." .Values.journal.workloadBytes .Values.journal.bytes) }}
{{- end -}}
{{- $stated := dig "limits" "memory" "" .Values.resources | toString -}}
{{- $limit := include "rollcast.bytes" $stated | int64 -}}
{{- $needed := add $journal (mul 192 1024 1024) | int64 -}}
{{- if and $limit (lt $limit $needed) -}}
{{- fail (printf "resources.limits.memory: %s is too little for journal.bytes: %s: the Pod would be killed for its memory. Raise the limit to at least %dMi, or lower journal.bytes." $stated .Values.journal.bytes (div (add $needed 1048575) 1048576)) }}
{{- end -}}
{{- end }}

{{/* Bytes of "128MiB" or "512Mi"; 0 for what it does not know. */}}
{{- define "rollcast.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $unit := trimPrefix $number . | trimSuffix "B" -}}
{{- mulf ($number | default "0" | float64) (get $units $unit | default 0) | int64 }}
{{- end }}
