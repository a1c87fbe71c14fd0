# SPDX-License-Identifier: Apache-2.0
"""A client of `cart`: the name of the service is its address, and http_proxy the way there."""

import sys

import grpc

with grpc.insecure_channel("cart:9000") as channel:
    print(channel.unary_unary("/shop.Cart/Items")(sys.argv[1].encode(), timeout=5).decode())
    for event in channel.unary_stream("/shop.Cart/Watch")(b"", timeout=5):
        print(event.decode())
    try:
        channel.unary_unary("/shop.Cart/Pay")(b"", timeout=5)
    except grpc.RpcError as error:
        print("Pay:", error.code().name)
