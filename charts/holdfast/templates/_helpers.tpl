{{/* Labels of everything that the chart installs. */}}
{{- define "holdfast.labels" -}}
{{ include "holdfast.selector" . }}
app.kubernetes.io/part-of: holdfast
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Labels by which the operator's pods are found; they never change. */}}
{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast-operator
{{- end }}

{{/* An image: dict "root" $ "name" "operator". */}}
{{- define "holdfast.image" -}}
{{- $images := .root.Values.images -}}
{{ $images.registry }}/{{ index $images .name }}:{{ $images.tag | default .root.Chart.AppVersion }}
{{- end }}
