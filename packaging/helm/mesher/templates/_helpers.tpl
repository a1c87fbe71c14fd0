{{- define "mesher.base" -}}
{{ .Values.fullnameOverride | default "sidecar-injector-webhook-mesher" | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "mesher.account" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if not .Values.serviceAccount.create }}default
{{- else if .Values.fullnameOverride }}{{ include "mesher.base" . }}-account
{{- else }}mesher-sidecar-injector-service-account
{{- end }}
{{- end }}

{{/* Of both roles and their bindings. */}}
{{- define "mesher.role" -}}
{{- if .Values.fullnameOverride }}{{ include "mesher.base" . }}{{ else }}mesher-sidecar-injector-mesher-system{{ end }}
{{- end }}

{{- define "mesher.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What never changes: a Deployment's selector cannot. */}}
{{- define "mesher.selector" -}}
app.kubernetes.io/name: {{ include "mesher.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: sidecar-injector
{{- end }}

{{/* The label app is the original's; by it the webhook leaves the injector's own pods alone. */}}
{{- define "mesher.labels" -}}
{{- $labels := include "mesher.selector" . | fromYaml }}
{{- $_ := set $labels "app" "sidecar-injector" }}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "mesher" }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- merge $labels .Values.commonLabels | toYaml }}
{{- end }}

{{/* name, labels and annotations of an object of the injector's namespace; (list . NAME ANNOTATIONS) */}}
{{- define "mesher.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
{{ include "mesher.marks" (list $root (index . 2)) }}
{{- end }}

{{- define "mesher.marks" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "mesher.labels" $root | nindent 2 }}
{{- with merge (deepCopy (index . 1)) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A reference, of a map like .Values.image; (list . IMAGE) */}}
{{- define "mesher.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Where the certificate comes from: "certManager", "own" of the user, or "injector", which makes it. */}}
{{- define "mesher.certificates" -}}
{{- $managed := .Values.injector.certManager.enabled }}
{{- $own := .Values.injector.certificate }}
{{- if and $managed $own.secretName }}
{{- fail "injector.certManager.enabled and injector.certificate.secretName are both set: take one of them away" }}
{{- end }}
{{- if and $own.caBundle (not $own.secretName) }}
{{- fail "injector.certificate.caBundle is the authority of injector.certificate.secretName, which is not set" }}
{{- end }}
{{- if and $own.secretName (not $own.caBundle) }}
{{- fail "injector.certificate.secretName needs injector.certificate.caBundle: set it to the PEM text of the authority that signed the certificate" }}
{{- end }}
{{- if $managed }}certManager{{ else if $own.secretName }}own{{ else }}injector{{ end }}
{{- end }}

{{/* The file that says what sidecars are made of. */}}
{{- define "mesher.template" -}}
{{- $image := merge (deepCopy .Values.sidecar.image) (omit .Values.image "digest" "tag") }}
{{- if not (or .Values.sidecar.image.tag .Values.sidecar.image.digest) }}
{{- $_ := set $image "tag" .Values.image.tag }}
{{- $_ := set $image "digest" .Values.image.digest }}
{{- end -}}
containers:
  - name: sidecar-mesher
    image: {{ include "mesher.image" (list . $image) | quote }}
    imagePullPolicy: {{ $image.pullPolicy }}
    ports:
      - {name: mesher-http, containerPort: 30101}
      - {name: mesher-admin, containerPort: 30102}
      - {name: mesher-grpc, containerPort: 40101}
    env:
      - {name: CHASSIS_CONF_DIR, value: /etc/mesher/conf}
    volumeMounts:
      - {name: mesher-conf, mountPath: /etc/mesher/conf, readOnly: true}
    {{- with .Values.sidecar.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      seccompProfile: {type: RuntimeDefault}
    startupProbe:
      httpGet: {path: /readyz, port: 30102}
      periodSeconds: 1
      failureThreshold: 60
    readinessProbe:
      httpGet: {path: /readyz, port: 30102}
      periodSeconds: 5
      failureThreshold: 3
    terminationMessagePolicy: FallbackToLogsOnError
volumes:
  - name: mesher-conf
    configMap: {name: mesher-configmap, optional: true}
{{- with .Values.sidecar.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
settings:
  defaultDiscoveryType: {{ .Values.sidecar.discoveryType }}
  sc: {address: {{ .Values.sidecar.sc.address | quote }}}
  pilot: {address: {{ .Values.sidecar.pilot.address | quote }}, type: {{ .Values.sidecar.pilot.type | quote }}}
  nativeSidecar: {{ get (dict "true" "yes" "false" "no") (toString .Values.sidecar.native) | default .Values.sidecar.native | quote }}
  proxyEnv: {{ ternary "yes" "no" .Values.sidecar.proxyEnv | quote }}
  {{- with .Values.sidecar.noProxy }}
  noProxy: {{ join "," . | quote }}
  {{- end }}
  runAsUser: {{ .Values.sidecar.runAsUser }}
  onInvalidAnnotation: {{ .Values.sidecar.onInvalidAnnotation }}
  allowImageOverride: {{ ternary "yes" "no" .Values.sidecar.allowImageOverride | quote }}
  {{- with .Values.sidecar.excludedNamespaces }}
  extraExcludedNamespaces: {{ join "," . | quote }}
  {{- end }}
  prometheusAnnotations: {{ ternary "yes" "no" .Values.sidecar.prometheusAnnotations | quote }}
{{- end }}
