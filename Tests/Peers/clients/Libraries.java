// SPDX-License-Identifier: Apache-2.0
// The HTTP clients that Java programs have most often: GETs and a POST through a proxy; OkHttp's WebSocket too.
// usage: java -cp JARS Libraries.java okhttp|apache PROXY-PORT URL [WEBSOCKET-URL]

import java.net.InetSocketAddress;
import java.net.Proxy;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import okhttp3.WebSocket;
import okhttp3.WebSocketListener;
import okio.ByteString;
import org.apache.http.HttpHost;
import org.apache.http.client.config.RequestConfig;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.client.methods.HttpPost;
import org.apache.http.client.methods.HttpUriRequest;
import org.apache.http.entity.StringEntity;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.util.EntityUtils;

public class Libraries {
    public static void main(String[] arguments) throws Exception {
        var port = Integer.parseInt(arguments[1]);
        if (arguments[0].equals("apache")) {
            askByApache(port, arguments[2]);
        } else {
            var proxy = new Proxy(Proxy.Type.HTTP, new InetSocketAddress("127.0.0.1", port));
            var client = new OkHttpClient.Builder().proxy(proxy).build();
            for (var path : new String[] {"/1", "/2", "/3"}) {
                ask(client, new Request.Builder().url(arguments[2] + path));
            }
            ask(client, new Request.Builder().url(arguments[2] + "/post").post(RequestBody.create(null, "hello")));
            talk(client, arguments[3]);
        }
        System.exit(0);
    }

    static void ask(OkHttpClient client, Request.Builder request) throws Exception {
        try (var answer = client.newCall(request.build()).execute()) {
            System.out.println(answer.code() + " " + answer.body().string());
        }
    }

    static void talk(OkHttpClient client, String url) throws Exception {
        var ended = new CompletableFuture<Integer>();
        client.newWebSocket(new Request.Builder().url(url).build(), new WebSocketListener() {
            @Override
            public void onOpen(WebSocket socket, Response response) {
                socket.send("hello");
            }

            @Override
            public void onMessage(WebSocket socket, String text) {
                System.out.println("text " + text);
                socket.send(ByteString.of("x".repeat(100000).getBytes()));
            }

            @Override
            public void onMessage(WebSocket socket, ByteString octets) {
                System.out.println("octets " + octets.size());
                socket.close(1000, "done");
            }

            @Override
            public void onClosed(WebSocket socket, int code, String reason) {
                ended.complete(code);
            }

            @Override
            public void onFailure(WebSocket socket, Throwable error, Response response) {
                ended.completeExceptionally(error);
            }
        });
        System.out.println("closed " + ended.get(10, TimeUnit.SECONDS) + " true");
    }

    /** The POST waits for leave to send its body, as this library can be told to. */
    static void askByApache(int port, String url) throws Exception {
        try (var client = HttpClients.custom().setProxy(new HttpHost("127.0.0.1", port)).build()) {
            for (var path : new String[] {"/1", "/2", "/3"}) {
                print(client, new HttpGet(url + path));
            }
            var post = new HttpPost(url + "/post");
            post.setEntity(new StringEntity("hello"));
            post.setConfig(RequestConfig.custom().setExpectContinueEnabled(true).build());
            print(client, post);
        }
    }

    static void print(CloseableHttpClient client, HttpUriRequest request) throws Exception {
        try (var answer = client.execute(request)) {
            System.out.println(
                    answer.getStatusLine().getStatusCode() + " " + EntityUtils.toString(answer.getEntity()));
        }
    }
}
