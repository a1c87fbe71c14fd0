// SPDX-License-Identifier: Apache-2.0

/// The template that is used where there is no file.
///
/// A pod that satisfies Pod Security `restricted` satisfies it with this sidecar as well.
package enum BuiltInTemplate {
    /// As it would stand in a file.
    ///
    /// No limit of the processor: it would make the application wait. `mesher-conf` is optional, since a ConfigMap that is
    /// missing would keep a pod from starting for ever.
    ///
    /// - Parameter image: That of the sidecar.
    package static func yaml(image: String) -> String {
        """
        containers:
          - name: sidecar-mesher
            image: \(image)
            imagePullPolicy: IfNotPresent
            ports:
              - {name: mesher-http, containerPort: 30101}
              - {name: mesher-admin, containerPort: 30102}
              - {name: mesher-grpc, containerPort: 40101}
            env:
              - {name: CHASSIS_CONF_DIR, value: /etc/mesher/conf}
            volumeMounts:
              - {name: mesher-conf, mountPath: /etc/mesher/conf, readOnly: true}
            resources:
              requests: {cpu: 50m, memory: 64Mi}
              limits: {memory: 256Mi}
            securityContext:
              allowPrivilegeEscalation: false
              capabilities: {drop: [ALL]}
              readOnlyRootFilesystem: true
              runAsGroup: 65532
              runAsNonRoot: true
              runAsUser: 65532
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

        """
    }
}
