// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

extension RouteRetry {
    /// The field by which another proxy says that more requests came than it lets through.
    fileprivate static let rateLimited = Array("x-envoy-ratelimited".utf8)
}

extension Exchange {
    /// Whether the answer whose head has come is a reason for another try.
    @inline(__always)
    func isUnwanted(by retry: RouteRetry) -> Bool {
        if retry.conditions.isEmpty { return retry.statuses.contains(self.meaningfulStatus) }
        return self.includesAnswer(retry)
    }

    /// Whether the try that is over has ended with one of the failures that a route names.
    package func hasFailed(by retry: RouteRetry) -> Bool {
        guard self.isRepeated(by: retry) else { return false }
        return switch self.outcome {
        case .listedStatus, .unwantedStatus: self.includesAnswer(retry)
        case .connectFailed: retry.conditions.includes(.connectFailed)
        case .upstreamFailed: retry.conditions.includes(self.silence)
        case .open, .answered, .diedInBody, .clientFault, .refused, .replied, .noInstance, .callOver: false
        }
    }

    /// What the try that is over says of its endpoint; `nil` when the endpoint had no part in it.
    package var endpointResult: EndpointHealth.Result? {
        switch self.outcome {
        case .answered, .listedStatus, .unwantedStatus: .answer(self.statusOfHead)
        case .connectFailed: .silence(as: 503)
        case .diedInBody: .silence(as: 503, isConnected: true)
        case .upstreamFailed:
            .silence(as: self.error?.reason == .upstreamTimeout ? 504 : 503, isConnected: self.attempt.wasSent)
        case .callOver: .silence(as: 504, isConnected: self.attempt.wasSent)
        case .open, .clientFault, .refused, .replied, .noInstance: nil
        }
    }

    @inline(__always)
    private func includesAnswer(_ retry: RouteRetry) -> Bool {
        guard self.isRepeated(by: retry) else { return false }
        let status = self.response.status
        var isWanted = retry.conditions.includes(
            status: status, grpcStatus: self.grpcStatusOfHead, isListed: retry.statuses.contains(status))
        if !isWanted, retry.conditions.contains(.fields) {
            for field in retry.fields where field.holds(forStatus: status, self.responseHeaders) { isWanted = true }
        }
        let wantsLimited = retry.conditions.contains(.rateLimited)
        guard isWanted || wantsLimited else { return false }
        let isLimited = self.responseHeaders.firstIndex(ofLowercased: RouteRetry.rateLimited) != nil
        return isLimited ? wantsLimited : isWanted
    }

    /// Whether the request is one of those that the route repeats at all.
    @inline(__always)
    private func isRepeated(by retry: RouteRetry) -> Bool {
        if retry.requestFields.isEmpty { return true }
        for field in retry.requestFields where field.holds(for: self.request, self.requestHeaders) { return true }
        return false
    }

    /// That of gRPC as what it would be in HTTP, where the head says it: what comes later says nothing of the endpoint.
    private var statusOfHead: Int {
        guard self.isGRPC, let code = self.grpcStatusOfHead else { return self.response.status }
        return GRPCStatus.http(ofCode: code)
    }

    private var silence: RetryConditions.Silence {
        if self.error?.reason == .upstreamTimeout { return .late }
        if self.attempt.isUnseen { return .refusedStream }
        return self.attempt.wasSent ? .reset : .unsent
    }

    @inline(__always)
    private var grpcStatusOfHead: Int? {
        self.responseHeaders.firstIndex(of: .grpcStatus).flatMap { index in
            self.responseHeaders.withValue(at: index) { GRPCStatus.code($0) }
        }
    }
}
