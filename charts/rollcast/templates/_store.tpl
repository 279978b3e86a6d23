{{/* The volume that history is stored on. */}}

{{/* Where it is mounted, and a directory of ours on it: a new ext4 volume holds lost+found. */}}
{{- define "rollcast.storeMount" -}}/var/lib/rollcast{{- end }}
{{- define "rollcast.storePath" -}}{{ include "rollcast.storeMount" . }}/journal{{- end }}

{{- define "rollcast.storeClaim" -}}
{{- .Values.store.volume.existingClaim | default (include "rollcast.fullname" .) }}
{{- end }}

{{/* Bytes: the files, and a tenth for what the file system itself takes. */}}
{{- define "rollcast.storeNeeds" -}}
{{- div (mul 11 (include "rollcast.bytes" .Values.store.bytes | int64)) 10 }}
{{- end }}

{{/* Size of the claim that the chart makes. */}}
{{- define "rollcast.storeSize" -}}
{{- $mebibytes := div (add (include "rollcast.storeNeeds" . | int64) 1048575) 1048576 -}}
{{- .Values.store.volume.size | default (ternary (printf "%dMi" $mebibytes) "1Gi" (gt $mebibytes 1024)) }}
{{- end }}

{{/*
The Pod's security context. The files of a new volume belong to root: the kubelet
hands them to the group that the program runs as.
*/}}
{{- define "rollcast.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext | default dict | deepCopy -}}
{{- if and (eq .Values.store.kind "file") (not (hasKey $context "fsGroup")) $context.runAsGroup -}}
{{- $_ := set $context "fsGroup" (int64 $context.runAsGroup) -}}
{{- $_ := set $context "fsGroupChangePolicy" "OnRootMismatch" -}}
{{- end -}}
{{- with $context }}{{ toYaml . }}{{ end }}
{{- end }}
