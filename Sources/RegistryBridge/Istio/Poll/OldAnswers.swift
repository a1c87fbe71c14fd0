// SPDX-License-Identifier: Apache-2.0

/// Answers of Istio's first discovery API, as far as a sidecar needs them.
///
/// Names are those of the JSON without underscores.
///
/// - Source: Envoy's API v1, as Istio 0.1 to 0.8 speaks it.
enum OldAnswers {
    /// `/v1/registration/KEY`.
    struct Hosts: Decodable {
        let hosts: [Host]?
    }

    /// An entry of `/v1/registration`.
    struct Service: Decodable {
        enum CodingKeys: String, CodingKey {
            case key = "service-key"
            case hosts
        }
        let key: String
        let hosts: [Host]?
    }

    struct Host: Decodable {
        struct Tags: Decodable {
            /// `zone/region`.
            let az: String?
            let loadBalancingWeight: Int?
        }
        let ipAddress: String
        let port: Int
        let tags: Tags?
    }

    /// `/v1/clusters/…`.
    struct Clusters: Decodable {
        let clusters: [Cluster]?
    }

    struct Cluster: Decodable {
        struct Place: Decodable {
            let url: String
        }
        struct TLS: Decodable {
            let certChainFile: String?
            let privateKeyFile: String?
            let caCertFile: String?
            let verifySubjectAltName: [String]?
        }
        struct Breakers: Decodable {
            let `default`: Limits?
        }
        struct Limits: Decodable {
            let maxConnections: UInt32?
            let maxPendingRequests: UInt32?
            let maxRequests: UInt32?
            let maxRetries: UInt32?
        }
        struct Outliers: Decodable {
            let consecutive5Xx: UInt32?
            let intervalMs: Int?
            let baseEjectionTimeMs: Int?
            let maxEjectionPercent: UInt32?
        }
        let name: String
        let type: String
        let serviceName: String?
        let connectTimeoutMs: Int?
        let maxRequestsPerConnection: UInt32?
        let lbType: String?
        let hosts: [Place]?
        let features: String?
        let sslContext: TLS?
        let circuitBreakers: Breakers?
        let outlierDetection: Outliers?
    }

    /// `/v1/routes/PORT/…`.
    struct Table: Decodable {
        let virtualHosts: [VirtualHost]?
    }

    struct VirtualHost: Decodable {
        let name: String
        let domains: [String]
        let routes: [Route]?
    }

    struct Header: Decodable {
        let name: String
        let value: String?
        let regex: Bool?
    }

    struct Route: Decodable {
        struct Target: Decodable {
            let name: String
            let weight: UInt32
        }
        struct Targets: Decodable {
            let clusters: [Target]
        }
        struct Retries: Decodable {
            let retryOn: String?
            let numRetries: UInt32?
            let perTryTimeoutMs: Int?
        }
        struct Shadow: Decodable {
            let cluster: String
        }
        struct Addition: Decodable {
            let key: String
            let value: String
        }
        struct Decorator: Decodable {
            let operation: String?
        }
        struct Runtime: Decodable {
            let `default`: UInt32
        }
        let prefix: String?
        let path: String?
        let regex: String?
        let headers: [Header]?
        let runtime: Runtime?
        let cluster: String?
        let weightedClusters: Targets?
        let hostRedirect: String?
        let pathRedirect: String?
        let prefixRewrite: String?
        let hostRewrite: String?
        let autoHostRewrite: Bool?
        let timeoutMs: Int?
        let retryPolicy: Retries?
        let useWebsocket: Bool?
        let shadow: Shadow?
        let requestHeadersToAdd: [Addition]?
        let decorator: Decorator?
    }

    /// `/v1/listeners/…`.
    struct Listeners: Decodable {
        let listeners: [Listener]?
    }

    struct Listener: Decodable {
        let filters: [Filter]?
    }

    struct Filter: Decodable {
        let config: Manager?
    }

    /// The settings of a connection manager; other filters have none of these.
    struct Manager: Decodable {
        struct Table: Decodable {
            let routeConfigName: String?
        }
        struct Part: Decodable {
            let name: String?
            let config: Fault?
        }
        let rds: Table?
        let filters: [Part]?
    }

    /// The settings of a `fault` filter.
    struct Fault: Decodable {
        struct Abort: Decodable {
            let abortPercent: UInt32?
            let httpStatus: UInt32?
        }
        struct Delay: Decodable {
            let fixedDelayPercent: UInt32?
            let fixedDurationMs: Int?
        }
        let abort: Abort?
        let delay: Delay?
        let headers: [Header]?
        let upstreamCluster: String?
    }
}
