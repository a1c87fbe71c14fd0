// SPDX-License-Identifier: Apache-2.0

import CSimulation
package import NIOCore

extension SimulatedChannel: SocketOptionProvider {
    private struct Options: NIOSynchronousChannelOptions {
        let channel: SimulatedChannel

        func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) throws {
            try self.channel.setOption0(option, value)
        }

        func getOption<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
            try self.channel.getOption0(option)
        }
    }

    package var syncOptions: (any NIOSynchronousChannelOptions)? { Options(channel: self) }

    package func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) -> EventLoopFuture<Void> {
        self.loop.makeCompletedFuture(withResultOf: { try self.setOption0(option, value) })
    }

    package func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        let promise = self.loop.makePromise(of: Option.Value.self)
        do { promise.succeed(try self.getOption0(option)) } catch { promise.fail(error) }
        return promise.futureResult
    }

    private func setOption0<Option: ChannelOption>(_ option: Option, _ value: Option.Value) throws {
        guard self.isOpen else { throw ChannelError.ioOnClosedChannel }
        switch (option, value) {
        case (is ChannelOptions.Types.AllowRemoteHalfClosureOption, let value as Bool):
            self.allowRemoteHalfClosure = value
        case (is ChannelOptions.Types.WriteSpinOption, let value as UInt): self.writes.spinCount = value
        case (
            is ChannelOptions.Types.WriteBufferWaterMarkOption, let value as ChannelOptions.Types.WriteBufferWaterMark
        ): self.writes.waterMark = value
        case (is ChannelOptions.Types.MaxMessagesPerReadOption, let value as UInt): self.maxMessagesPerRead = value
        case (is ChannelOptions.Types.RecvAllocatorOption, let value as any RecvByteBufferAllocator):
            self.recvAllocator = value
        case (is ChannelOptions.Types.ConnectTimeoutOption, let value): self.connectTimeout = value as? TimeAmount
        case (is ChannelOptions.Types.SocketOption, _): break
        case (is ChannelOptions.Types.AutoReadOption, let value as Bool):
            let old = self.autoRead
            self.autoRead = value
            if self.isPreRegistered, old != value {
                if value { self.read0() } else { self.interest.remove(.read) }
            }
        default: preconditionFailure("option \(option) is not simulated")
        }
    }

    private func getOption0<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
        guard self.isOpen else { throw ChannelError.ioOnClosedChannel }
        let value: Any? =
            switch option {
            case is ChannelOptions.Types.AllowRemoteHalfClosureOption: self.allowRemoteHalfClosure
            case is ChannelOptions.Types.WriteSpinOption: self.writes.spinCount
            case is ChannelOptions.Types.WriteBufferWaterMarkOption: self.writes.waterMark
            case is ChannelOptions.Types.BufferedWritableBytesOption: self.writes.bytes
            case is ChannelOptions.Types.MaxMessagesPerReadOption: self.maxMessagesPerRead
            case is ChannelOptions.Types.RecvAllocatorOption: self.recvAllocator
            case is ChannelOptions.Types.AllocatorOption: self.allocator
            case is ChannelOptions.Types.AutoReadOption: self.autoRead
            default: nil
            }
        guard let value = value as? Option.Value else { preconditionFailure("option \(option) is not simulated") }
        return value
    }

    package func unsafeSetSocketOption<Value: Sendable>(
        level: SocketOptionLevel, name: SocketOptionName, value: Value
    ) -> EventLoopFuture<Void> {
        if let value = value as? NIOLinger { self.socket.resetsOnClose = simulation_resets(value) }
        return self.loop.makeSucceededVoidFuture()
    }

    package func unsafeSetSocketOption<Value: Sendable>(
        level: NIOBSDSocket.OptionLevel, name: NIOBSDSocket.Option, value: Value
    ) -> EventLoopFuture<Void> {
        self.unsafeSetSocketOption(
            level: SocketOptionLevel(level.rawValue), name: SocketOptionName(name.rawValue), value: value)
    }

    package func unsafeGetSocketOption<Value: Sendable>(
        level: SocketOptionLevel, name: SocketOptionName
    ) -> EventLoopFuture<Value> { self.loop.makeFailedFuture(ChannelError.operationUnsupported) }

    package func unsafeGetSocketOption<Value: Sendable>(
        level: NIOBSDSocket.OptionLevel, name: NIOBSDSocket.Option
    ) -> EventLoopFuture<Value> { self.loop.makeFailedFuture(ChannelError.operationUnsupported) }
}
