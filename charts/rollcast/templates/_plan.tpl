{{/*
The times that belong together, derived in one place and checked against each
other. Everything that renders a time takes it from here, as JSON:

  heartbeat  H, seconds between signs of life
  idle       I, the shortest idle timeout on the way that is known, 0 if none is
  lifetime   L, seconds after which the program ends a stream itself, 0 is never
  delay      P, seconds of serving on after the order to stop
  window     D, seconds over which streams are sent away
  grace      G, seconds until Kubernetes kills

and these hold: 3H + 5 <= I (two lost heartbeats do no harm), 1.1 L + max(5, T/10)
<= T for a total limit T (the program ends a stream before a proxy cuts it, its
variation of 10 % included), P + D + 5 <= G, and with a store 5 more: it is closed at the end.
*/}}
{{- define "rollcast.plan" -}}
{{- $exposure := .Values.exposure -}}
{{- $heartbeat := .Values.stream.heartbeatSeconds | default 10 | int -}}

{{- /* An Ingress controller hears of a stopping Pod later than kube-proxy does. */ -}}
{{- $proxied := ne $exposure.preset "none" -}}
{{- $delay := ternary 10 5 $proxied -}}
{{- $window := ternary 20 10 $proxied -}}
{{- /* 0 is a choice, so `default` will not do. */ -}}
{{- if not (kindIs "invalid" .Values.shutdown.drainDelaySeconds) }}{{ $delay = int .Values.shutdown.drainDelaySeconds }}{{ end -}}
{{- if not (kindIs "invalid" .Values.shutdown.drainWindowSeconds) }}{{ $window = int .Values.shutdown.drainWindowSeconds }}{{ end -}}
{{- $close := ternary 5 0 (eq .Values.store.kind "file") -}}
{{- $grace := .Values.shutdown.terminationGracePeriodSeconds | default (add $delay $window $close 10) | int -}}

{{- $idle := $exposure.idleTimeoutSeconds | default 0 | int -}}
{{- if and (eq $exposure.preset "ingress-nginx") (not $idle) }}{{ $idle = max 60 (mul 6 $heartbeat) | int }}{{ end -}}

{{- $lifetime := 3600 -}}
{{- $total := $exposure.totalTimeoutSeconds | default 0 | int -}}
{{- $longest := 0 -}}
{{- if $total -}}
{{- $longest = div (mul 10 (sub $total (max 5 (div (add $total 9) 10)))) 11 | int -}}
{{- $lifetime = min $lifetime $longest | int -}}
{{- end -}}
{{- if not (kindIs "invalid" .Values.stream.lifetimeSeconds) }}{{ $lifetime = int .Values.stream.lifetimeSeconds }}{{ end -}}

{{- if and $idle (lt $idle (add (mul 3 $heartbeat) 5 | int)) -}}
{{- include "rollcast.idleTooShort" (dict "what" "exposure.idleTimeoutSeconds" "idle" $idle "heartbeat" $heartbeat) }}
{{- end -}}
{{- if and $total (lt $total 15) -}}
{{- fail (printf "exposure.totalTimeoutSeconds: %d leaves no room for a stream. Raise the proxy's limit to 15 s or more, or switch it off there and leave the value out." $total) }}
{{- end -}}
{{- if and $total (or (not $lifetime) (gt $lifetime $longest)) -}}
{{- fail (printf "stream.lifetimeSeconds: %d does not fit exposure.totalTimeoutSeconds: %d: the proxy would cut streams before the program ends them. Set it to at most %d, or leave it out." $lifetime $total $longest) }}
{{- end -}}
{{- if lt $grace (add $delay $window $close 5 | int) -}}
{{- $store := ternary ", and to close the store" "" (gt $close 0) -}}
{{- fail (printf "shutdown.terminationGracePeriodSeconds: %d is too short for a drain delay of %d s and a drain window of %d s%s: streams would be killed unasked. Set it to at least %d, or leave it out." $grace $delay $window $store (add $delay $window $close 5)) }}
{{- end -}}

{{- dict "heartbeat" $heartbeat "idle" $idle "lifetime" $lifetime "delay" $delay "window" $window "grace" $grace | toJson }}
{{- end }}

{{/* Says by how much, and both ways out. Takes what, idle, heartbeat. */}}
{{- define "rollcast.idleTooShort" -}}
{{- $fits := div (sub .idle 5) 3 | int -}}
{{- $other := ternary (printf ", or set stream.heartbeatSeconds to at most %d" $fits) "" (ge $fits 1) -}}
{{- fail (printf "%s: %d is too short for a heartbeat every %d s: quiet streams would be cut. Raise it to at least %d%s." .what .idle .heartbeat (add (mul 3 .heartbeat) 5) $other) }}
{{- end }}
