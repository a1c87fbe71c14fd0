# SPDX-License-Identifier: Apache-2.0
"""The service `cart`: gRPC on 127.0.0.1:9000, in clear text. It knows nothing of a mesh."""

from concurrent import futures

import grpc


def items(request, context):
    """One call: what is in the cart."""
    return f"cart has 3 items for {request.decode()}".encode()


def watch(request, context):
    """A stream: what happens to the cart."""
    for event in ("added shoes", "added socks", "paid"):
        yield event.encode()


METHODS = {
    "Items": grpc.unary_unary_rpc_method_handler(items),
    "Watch": grpc.unary_stream_rpc_method_handler(watch),
}

server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Cart", METHODS)])
server.add_insecure_port("127.0.0.1:9000")
server.start()
server.wait_for_termination()
