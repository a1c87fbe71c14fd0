// SPDX-License-Identifier: Apache-2.0
// request path

import NIOCore

/// Puts a message, or a piece of one, on a channel with as few writes as possible.
///
/// Everything up to ``joinLimit`` goes into the worker's one scratch buffer and out in a single write; larger bodies go
/// out as the slices that they came in, without a copy.
enum MessageWriter {
    /// Bodies up to this size are copied behind the head: a copy is cheaper than a second write.
    static let joinLimit = 16 * 1024

    /// Frames a piece of the body behind what is in the worker's scratch buffer.
    ///
    /// Nothing goes out before ``flush``, so the caller may still refer to an exchange.
    ///
    /// - Parameter trailers: Go with the last chunk, where the body is chunked.
    static func add(
        _ body: ByteBuffer?, framing: HTTP1Writer.Framing, isComplete: Bool, trailers: borrowing HeaderBlock?,
        worker: Worker, to context: ChannelHandlerContext
    ) {
        if let body, body.readableBytes > 0 {
            if framing == .chunked { HTTP1Writer.writeChunkSize(body.readableBytes, to: &worker.flushes.scratch) }
            if body.readableBytes <= Self.joinLimit {
                worker.flushes.scratch.writeImmutableBuffer(body)
            } else {
                if worker.flushes.scratch.readableBytes > 0 {
                    context.write(NIOAny(worker.flushes.scratch), promise: nil)
                }
                worker.flushes.scratch.clear()
                context.write(NIOAny(body), promise: nil)
            }
            if framing == .chunked { worker.flushes.scratch.writeStaticString("\r\n") }
        }
        if isComplete, framing == .chunked {
            switch trailers {
            case .some(let trailers): HTTP1Writer.writeLastChunk(trailers, to: &worker.flushes.scratch)
            case .none: worker.flushes.scratch.writeStaticString("0\r\n\r\n")
            }
        }
    }

    /// Writes what is left in the worker's scratch buffer.
    ///
    /// The channel may be closed afterwards.
    ///
    /// - Parameter isLast: Nothing follows. A message that is complete and small goes out at the end of the loop's turn,
    ///   together with those of all other connections, so that the other side is not woken once for each: that saves a
    ///   seventh of the CPU time per request under load. Whoever closes the channel has to flush it before.
    static func flush(_ worker: Worker, to context: ChannelHandlerContext, isLast: Bool = false) {
        if isLast, worker.flushes.scratch.readableBytes > 0, worker.flushes.scratch.readableBytes <= Self.joinLimit {
            context.write(NIOAny(worker.flushes.scratch), promise: nil)
            worker.flushes.add(context, worker)
            return
        }
        if worker.flushes.scratch.readableBytes > 0 {
            context.writeAndFlush(NIOAny(worker.flushes.scratch), promise: nil)
        } else {
            context.flush()
        }
    }

    /// Puts `tail` off to the end of an event as soon as everything that was written to the channel is with the kernel;
    /// never when the channel is closed before.
    ///
    /// Closing earlier would throw away what waits: a channel whose input is shut gives up its pending writes with its
    /// output.
    ///
    /// - Parameter isDirect: Whether no handler in front of the socket, as that of TLS, can hold anything back. Then the
    ///   channel is asked, which costs a sixth of a write that carries nothing.
    static func whenWritten(
        _ context: ChannelHandlerContext, _ worker: Worker, isDirect: Bool = false,
        _ written: @escaping () -> any EventTail
    ) {
        if isDirect, (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) == 0 {
            return worker.putOff(written())
        }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenSuccess { worker.putOff(written()) }
        context.writeAndFlush(NIOAny(ByteBuffer()), promise: promise)
    }
}
