// SPDX-License-Identifier: Apache-2.0
// request path

import NIOCore

/// A peer may send a body in frames of a byte each; whoever it goes to gets what has come in one turn at once.
extension HTTP2Connection {
    /// Keeps a small piece for the end of the turn.
    func gather(_ data: ByteBuffer, of stream: HTTP2Stream) {
        if stream.gathered == nil {
            stream.gathered = data
            self.gathering.append(stream)
        } else {
            stream.gathered?.writeImmutableBuffer(data)
        }
        if stream.gathered?.readableBytes ?? 0 >= Self.mostGathered {
            self.deliver(stream, nil, endStream: false)
        }
    }

    static var smallPiece: Int { 1024 }
    private static var mostGathered: Int { 16 * 1024 }

    func deliver(_ stream: HTTP2Stream, _ data: ByteBuffer?, endStream: Bool) {
        var data = data
        if var gathered = stream.gathered.take() {
            if let data { gathered.writeImmutableBuffer(data) }
            data = gathered
        }
        stream.dataReceived(data, endStream: endStream)
        stream.credit()
    }

    func deliverGathered() {
        let streams = self.gathering
        self.gathering.removeAll(keepingCapacity: true)
        // One that has ended meanwhile has nothing gathered any more.
        for stream in streams where stream.gathered != nil { self.deliver(stream, nil, endStream: false) }
    }
}
