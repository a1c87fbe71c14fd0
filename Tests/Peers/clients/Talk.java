// SPDX-License-Identifier: Apache-2.0
// Java's own HTTP client: GETs and a POST, which it sends as to a proxy, and a WebSocket, for which it tunnels.
// usage: java Talk.java PROXY-PORT URL WEBSOCKET-URL

import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;

public class Talk {
    public static void main(String[] arguments) throws Exception {
        var proxy = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        var client = HttpClient.newBuilder().proxy(ProxySelector.of(proxy)).build();
        // Another client: Java 17 would ask for the WebSocket on the kept connection to the proxy, as if to an origin.
        var talker = HttpClient.newBuilder().proxy(ProxySelector.of(proxy)).build();
        for (var path : new String[] {"/1", "/2", "/3"}) {
            ask(client, HttpRequest.newBuilder(URI.create(arguments[1] + path)));
        }
        ask(client, HttpRequest.newBuilder(URI.create(arguments[1] + "/post")).POST(BodyPublishers.ofString("hello")));

        var ended = new CompletableFuture<Integer>();
        var socket = talker.newWebSocketBuilder().buildAsync(URI.create(arguments[2]), new Listener(ended)).join();
        socket.sendText("hello", true).join();
        System.out.println("closed " + ended.get(10, TimeUnit.SECONDS) + " true");
        System.exit(0);
    }

    static void ask(HttpClient client, HttpRequest.Builder request) throws Exception {
        var answer = client.send(request.build(), BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body());
    }

    record Listener(CompletableFuture<Integer> ended, int[] octets) implements WebSocket.Listener {
        Listener(CompletableFuture<Integer> ended) {
            this(ended, new int[1]);
        }

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean isLast) {
            System.out.println("text " + text);
            socket.request(1);
            return socket.sendBinary(ByteBuffer.wrap("x".repeat(100000).getBytes()), true);
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean isLast) {
            octets[0] += data.remaining();
            socket.request(1);
            if (!isLast) {
                return null;
            }
            System.out.println("octets " + octets[0]);
            return socket.sendClose(WebSocket.NORMAL_CLOSURE, "done");
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            ended.complete(code);
            return null;
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            ended.completeExceptionally(error);
        }
    }
}
