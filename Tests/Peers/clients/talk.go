// SPDX-License-Identifier: Apache-2.0

// A text, many octets and the closing handshake over a WebSocket of Gorilla. usage: go run talk.go PROXY URL
package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/gorilla/websocket"
)

func must(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

func main() {
	proxy, err := url.Parse(os.Args[1])
	must(err)
	dialer := websocket.Dialer{Proxy: http.ProxyURL(proxy)}
	socket, _, err := dialer.Dial(os.Args[2], nil)
	must(err)
	must(socket.WriteMessage(websocket.TextMessage, []byte("hello")))
	_, text, err := socket.ReadMessage()
	must(err)
	fmt.Println("text", string(text))
	must(socket.WriteMessage(websocket.BinaryMessage, bytes.Repeat([]byte("x"), 100000)))
	_, octets, err := socket.ReadMessage()
	must(err)
	fmt.Println("octets", len(octets))
	must(socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "done")))
	_, _, err = socket.ReadMessage()
	closed, isClosed := err.(*websocket.CloseError)
	if !isClosed {
		must(fmt.Errorf("no closing handshake: %v", err))
	}
	fmt.Println("closed", closed.Code, true)
}
