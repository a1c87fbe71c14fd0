# SPDX-License-Identifier: Apache-2.0
"""S1, S2, S4, S9, S10: a request with two readings reaches no origin; a sloppy one arrives in one reading."""

import pytest

import wire
from harness import PATIENCE, SMUGGLED, forwarded, refused, refused_or_forwarded, request, table

CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


def post(*fields, body=b"hello"):
    """A POST with the fields given, and nothing else that frames it."""
    return request("POST", "~/x", *fields, body=body)


def chunked(*fields):
    return post(*fields, body=CHUNKED)


# -- S2: Content-Length ------------------------------------------------------------------------------------------------


@table(
    "value",
    {
        "plus": "+5",
        "minus": "-5",
        "minus_zero": "-0",
        "hex": "0x5",
        "hex_digits": "a",
        "two_numbers": "5 5",
        "letters_after": "5a",
        "letters_before": "a5",
        "empty": "",
        "decimal": "5.0",
        "exponent": "5e0",
        "semicolon": "5;",
        "quoted": '"5"',
        "list_differs": "5, 6",
        "list_differs_first": "6, 5",
        "underscore": "5_0",
        "vertical_tab": "\x0b5",
        "form_feed": "5\x0c",
        "nul": "5\x00",
        "arabic_digit": "Ù¥",
        "high_bytes": "\xb2",
        "word": "five",
        "only_comma": ",",
        "uint64_overflow": "18446744073709551616",
        "wraps_to_5": "18446744073709551621",
        "int64_wraps": "-18446744073709551611",
        "uint32_wraps_in_128_bit": "340282366920938463463374607431768211461",
        "hundred_digits": "1" * 100,
        "obs_fold": "\r\n 5",
        "fold_after": "5\r\n 0",
    },
)
def test_malformed_content_length(door, value):
    refused(door, post(f"Content-Length: {value}"))


@table(
    "fields",
    {
        "differ": ["Content-Length: 5", "Content-Length: 6"],
        "differ_swapped": ["Content-Length: 6", "Content-Length: 5"],
        "apart": ["Content-Length: 5", "X-A: 1", "X-B: 2", "content-length: 0"],
        "second_empty": ["Content-Length: 5", "Content-Length:"],
        "first_empty": ["Content-Length:", "Content-Length: 5"],
        "second_bad": ["Content-Length: 5", "Content-Length: x"],
        "equal_value_other_spelling": ["Content-Length: 5", "Content-Length: 05", "Content-Length: 6"],
    },
)
def test_contradicting_content_lengths(door, fields):
    refused(door, post(*fields))


@table(
    "fields",
    {
        "same_twice": ["Content-Length: 5", "Content-Length: 5"],
        "same_list": ["Content-Length: 5, 5"],
        "same_list_without_blank": ["Content-Length: 5,5"],
        "trailing_comma": ["Content-Length: 5,"],
        "leading_comma": ["Content-Length: ,5"],
        "leading_zeros": ["Content-Length: 0005"],
        "many_zeros": ["Content-Length: " + "0" * 30 + "5"],
        "zeros_differ": ["Content-Length: 5", "Content-Length: 05"],
    },
)
def test_redundant_content_length_is_refused_or_made_one(door, fields):
    received = refused_or_forwarded(door, post(*fields))
    if received:
        assert int(received.get("content-length")) == 5 and received.body == b"hello"


@table(
    "field",
    {
        "plain": "Content-Length: 5",
        "no_blank": "Content-Length:5",
        "blanks": "Content-Length:   5  ",
        "tab": "Content-Length:\t5\t",
        "lower": "content-length: 5",
        "upper": "CONTENT-LENGTH: 5",
    },
)
def test_content_length_frames_the_body(door, field):
    received = forwarded(door, post(field))
    assert (received.method, received.body, received.get("content-length")) == ("POST", b"hello", b"5")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_body_belongs_to_any_method(door, method):
    received = forwarded(door, request(method, "~/x", "Content-Length: 5", body=b"hello"), method)
    assert (received.method, received.body) == (method, b"hello")


def test_content_length_zero_and_absent_mean_no_body(door):
    assert forwarded(door, post("Content-Length: 0", body=b"")).body == b""
    door.mesh.fresh()
    assert forwarded(door, post(body=b"")).body == b""


# -- S2: Transfer-Encoding ---------------------------------------------------------------------------------------------


@table(
    "fields",
    {
        "cl_then_te": ["Content-Length: 5", "Transfer-Encoding: chunked"],
        "te_then_cl": ["Transfer-Encoding: chunked", "Content-Length: 5"],
        "cl_zero": ["Content-Length: 0", "Transfer-Encoding: chunked"],
        "cl_that_fits": [f"Content-Length: {len(CHUNKED)}", "Transfer-Encoding: chunked"],
        "cl_named_in_connection": ["Connection: Content-Length", "Content-Length: 5", "Transfer-Encoding: chunked"],
        "te_named_in_connection": ["Connection: Transfer-Encoding", "Content-Length: 5", "Transfer-Encoding: chunked"],
        "te_unknown": ["Content-Length: 5", "Transfer-Encoding: xchunked"],
        "te_identity": ["Content-Length: 5", "Transfer-Encoding: identity"],
        "te_empty": ["Content-Length: 5", "Transfer-Encoding:"],
        "te_upper": ["Content-Length: 5", "TRANSFER-ENCODING: CHUNKED"],
    },
)
def test_content_length_with_transfer_encoding(door, fields):
    refused(door, chunked(*fields), (400, 501))


@table(
    "value",
    {
        "unknown": "xchunked",
        "suffix": "chunkedx",
        "identity": "identity",
        "identity_after": "chunked, identity",
        "identity_before": "identity, chunked",
        "gzip_only": "gzip",
        "gzip_after": "chunked, gzip",
        "twice": "chunked, chunked",
        "quoted": '"chunked"',
        "single_quoted": "'chunked'",
        "parameter": "chunked;q=1",
        "parameter_blank": "chunked ; a=b",
        "split_word": "chunk ed",
        "blank_separated": "gzip chunked",
        "vertical_tab_before": "\x0bchunked",
        "vertical_tab_after": "chunked\x0b",
        "form_feed": "chunked\x0c",
        "nul": "chunked\x00",
        "high_byte": "\xa0chunked",
        "unknown_then_chunked": "foo, chunked",
        "cow": "cow",
        "empty": "",
        "only_comma": ",",
        "semicolon": "chunked;",
        "slash": "chunked/1",
        "backslash": "chunk\\ed",
        "truncated": "chunke",
        "dotless_i": "chunked\xc4\xb1",
    },
)
def test_transfer_encoding_that_is_not_chunked(door, value):
    refused(door, chunked(f"Transfer-Encoding: {value}"), (400, 501))


@table(
    "fields",
    {
        "chunked_twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        "identity_second": ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        "identity_first": ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"],
        "unknown_second": ["Transfer-Encoding: chunked", "Transfer-encoding: x"],
        "gzip_second": ["Transfer-Encoding: chunked", "Transfer-Encoding: gzip"],
        "apart": ["Transfer-Encoding: chunked", "X-A: 1", "transfer-encoding: cow"],
    },
)
def test_repeated_transfer_encoding(door, fields):
    refused(door, chunked(*fields), (400, 501))


@table(
    "lines",
    {
        "space_before_colon": "Transfer-Encoding : chunked",
        "tab_before_colon": "Transfer-Encoding\t: chunked",
        "nul_in_name": "Transfer\x00-Encoding: chunked",
        "vertical_tab_before_colon": "Transfer-Encoding\x0b: chunked",
        "folded_value": "Transfer-Encoding:\r\n chunked",
        "folded_tab": "Transfer-Encoding:\r\n\tchunked",
        "folded_list": "Transfer-Encoding: gzip,\r\n chunked",
        "in_a_fold": "X-A: 1\r\n Transfer-Encoding: chunked",
        "bare_cr_before": "X-A: 1\rTransfer-Encoding: chunked",
        "bare_cr_inside": "Transfer-Encoding: chun\rked",
        "bare_cr_after": "Transfer-Encoding: chunked\r",
        "nul_after": "Transfer-Encoding: chunked\x00",
        "no_colon": "Transfer-Encoding chunked",
        "soft_hyphen": "Transfer\xadEncoding: chunked",
    },
)
def test_transfer_encoding_on_a_malformed_line(door, lines):
    refused(door, chunked(lines), (400, 501))


def test_transfer_encoding_with_leading_blank_as_first_field(door):
    raw = b"POST ~/x HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: cart\r\n\r\n" + CHUNKED
    refused(door, raw)


@table(
    "fields",
    {
        "gzip_then_chunked": ["Transfer-Encoding: gzip, chunked"],
        "gzip_line_then_chunked_line": ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
        "leading_comma": ["Transfer-Encoding: ,chunked"],
        "trailing_comma": ["Transfer-Encoding: chunked,"],
        "comma_blank": ["Transfer-Encoding: , chunked"],
        "empty_line_after": ["Transfer-Encoding: chunked", "Transfer-Encoding:"],
    },
)
def test_sloppy_coding_list_is_refused_or_made_one(door, fields):
    received = refused_or_forwarded(door, chunked(*fields), (400, 501))
    if received:
        assert received.body == b"hello" and received.get("transfer-encoding").endswith(b"chunked")


@table(
    "field",
    {
        "plain": "Transfer-Encoding: chunked",
        "capitals": "Transfer-Encoding: Chunked",
        "upper": "TRANSFER-ENCODING: CHUNKED",
        "no_blank": "Transfer-Encoding:chunked",
        "blanks": "Transfer-Encoding:  chunked  ",
        "tabs": "Transfer-Encoding:\tchunked\t",
    },
)
def test_chunked_in_its_legitimate_spellings(door, field):
    received = forwarded(door, chunked(field))
    assert received.body == b"hello" and received.chunked and received.get("content-length") is None


@table(
    "fields",
    {
        "te": ["Transfer-Encoding: chunked"],
        "te_and_cl": ["Transfer-Encoding: chunked", "Content-Length: 5"],
        "te_keep_alive": ["Connection: keep-alive", "Transfer-Encoding: chunked"],
        "te_identity": ["Transfer-Encoding: identity"],
    },
)
def test_transfer_encoding_in_http_1_0(door, fields):
    refused(door, chunked(*fields).replace(b"HTTP/1.1", b"HTTP/1.0"), (400, 501))


@table(
    "field",
    {
        "content_encoding": "Content-Encoding: chunked",
        "underscore": "Transfer_Encoding: chunked",
        "te": "TE: chunked",
        "prefix": "X-Transfer-Encoding: chunked",
        "plural": "Transfer-Encodings: chunked",
        "length_underscore": "Content_Length: 5",
        "length_prefix": "X-Content-Length: 5",
    },
)
def test_names_that_only_look_like_framing(door, field):
    received = refused_or_forwarded(door, post(field, body=b""))
    if received:
        assert received.body == b"" and not received.chunked


# -- S1: header syntax -------------------------------------------------------------------------------------------------


@table(
    "line",
    {
        "space_before_colon": "X-A : v",
        "tab_before_colon": "X-A\t: v",
        "empty_name": ": v",
        "only_colon": ":",
        "no_colon": "X-A",
        "space_in_name": "X A: v",
        "leading_blank": "X-B: 1\r\n X-A: v",
        "leading_tab": "X-B: 1\r\n\tv",
        "blank_line_of_spaces": "X-B: 1\r\n  ",
        "nul_in_name": "X\x00A: v",
        "control_in_name": "X\x01A: v",
        "del_in_name": "X\x7fA: v",
        "latin1_name": "X\xe9: v",
        "utf8_name": "X\xc3\xa9: v",
        "nul_in_value": "X-A: a\x00b",
        "nul_value": "X-A: \x00",
        "bare_cr_in_value": "X-A: a\rb",
        "bare_cr_at_end": "X-A: a\r",
        "bare_cr_splits": "X-A: a\rHost: evil",
        "cr_in_name": "X\r-A: v",
        "cr_before_name": "\rX-A: v",
        "lf_cr": "X-A: a\n\rX-B: b",
        **{f"name_with_{character}": f"X{character}A: v" for character in '"(),/;<=>?@[\\]{}'},
    },
)
def test_malformed_field_line(door, line):
    refused(door, request("GET", "~/x", line))


def test_blank_before_the_first_field(door):
    refused(door, b"GET ~/x HTTP/1.1\r\n X-A: 1\r\nHost: cart\r\n\r\n")


def test_empty_field_name_does_not_hide_what_follows(door):
    """HAProxy CVE-2023-25725."""
    refused(door, b"POST ~/x HTTP/1.1\r\nHost: cart\r\n: x\r\nContent-Length: 5\r\n\r\nhello")


@table(
    "raw",
    {
        "whole_head": b"GET ~/x HTTP/1.1\nHost: cart\nX-A: 1\n\n",
        "request_line": b"GET ~/x HTTP/1.1\nHost: cart\r\nX-A: 1\r\n\r\n",
        "one_field": b"GET ~/x HTTP/1.1\r\nHost: cart\nX-A: 1\r\n\r\n",
        "end_of_head": b"GET ~/x HTTP/1.1\r\nHost: cart\r\nX-A: 1\r\n\n",
        "framing": b"GET ~/x HTTP/1.1\r\nHost: cart\r\nX-A: 1\nContent-Length: 0\r\n\r\n",
    },
)
def test_bare_line_feeds_in_a_head_are_refused_or_replaced(door, raw):
    received = refused_or_forwarded(door, raw)
    if received:
        assert received.get("x-a") == b"1" and received.host == b"cart"


@table("value", {"control_1": "a\x01b", "vertical_tab": "a\x0bb", "escape": "a\x1bb", "del": "a\x7fb"})
def test_other_control_octets_in_a_value(door, value):
    """RFC 9110 5.5 leaves the choice; if kept, they are kept as they are."""
    received = refused_or_forwarded(door, request("GET", "~/x", f"X-A: {value}"))
    if received:
        assert received.get("x-a") == value.encode("latin-1")


@table(
    "value, expected",
    {
        "plain": ("v", b"v"),
        "empty": ("", b""),
        "blanks_around": ("  v \t", b"v"),
        "tab_inside": ("a\tb", b"a\tb"),
        "latin1": ("\xe9\xff\x80", b"\xe9\xff\x80"),
        "colons": ("a:b::c", b"a:b::c"),
        "quotes": ('"a,b"; c="\\""', b'"a,b"; c="\\""'),
        "looks_like_a_field": ("Host: evil", b"Host: evil"),
        "percent": ("%0d%0aHost: evil", b"%0d%0aHost: evil"),
        "many_blanks_inside": ("a      b", b"a      b"),
    },
)
def test_values_arrive_as_sent(door, value, expected):
    assert forwarded(door, request("GET", "~/x", f"X-A:{value}", "X-Z: last")).get("x-a") == expected


def test_every_token_character_is_a_name(door):
    name = "!#$%&'*+-.^_`|~09AZaz"
    assert forwarded(door, request("GET", "~/x", f"{name}: v")).get(name.lower()) == b"v"


def test_repeated_fields_keep_number_and_order(door):
    received = forwarded(door, request("GET", "~/x", "Cookie: a=1", "X-A: 1", "Cookie: b=2", "X-A: 2", "x-a: 1"))
    assert received.all("cookie") == [b"a=1", b"b=2"] and received.all("x-a") == [b"1", b"2", b"1"]


# -- S4: Host ----------------------------------------------------------------------------------------------------------


@table(
    "host",
    {
        "missing": "X-A: 1",
        "twice_equal": "Host: cart\r\nHost: cart",
        "twice_different": "Host: cart\r\nHost: evil",
        "twice_apart": "Host: cart\r\nX-A: 1\r\nhOST: evil",
        "second_empty": "Host: cart\r\nHost:",
        "space_before_colon": "Host : cart",
        "blank_inside": "Host: ca rt",
        "tab_inside": "Host: ca\trt",
        "list": "Host: cart, evil",
        "userinfo": "Host: user@cart",
        "userinfo_password": "Host: a:b@cart",
        "path": "Host: cart/x",
        "slash": "Host: cart/",
        "backslash": "Host: cart\\evil",
        "query": "Host: cart?x",
        "fragment": "Host: cart#x",
        "scheme": "Host: http://cart",
        "port_letters": "Host: cart:http",
        "port_sign": "Host: cart:-1",
        "port_plus": "Host: cart:+80",
        "port_blank": "Host: cart: 80",
        "two_ports": "Host: cart:80:80",
        "bracket_open": "Host: [::1",
        "bracket_close": "Host: ::1]",
        "bracket_names": "Host: [zz]",
        "bracket_empty": "Host: []",
        "bare_ipv6": "Host: ::1",
        "after_bracket": "Host: [::1]x",
        "angle": "Host: <cart>",
        "quote": 'Host: "cart"',
        "brace": "Host: {cart}",
        "pipe": "Host: a|b",
        "caret": "Host: a^b",
        "backtick": "Host: a`b",
        "percent_bad": "Host: %zz",
        "percent_short": "Host: cart%2",
        "nul": "Host: ca\x00rt",
        "control": "Host: ca\x01rt",
        "del": "Host: ca\x7frt",
        "latin1": "Host: caf\xe9",
        "folded": "Host: cart\r\n evil",
        "empty_fold": "Host:\r\n cart",
        "bare_cr": "Host: cart\revil",
    },
)
def test_missing_repeated_or_invalid_host(door, host):
    refused(door, request("GET", "~/x", host=host))


@table(
    "host",
    {
        "empty": "Host:",
        "empty_port": "Host: cart:",
        "large_port": "Host: cart:99999",
        "percent_encoded": "Host: c%61rt",
        "percent_nul": "Host: cart%00",
        "sub_delims": "Host: a!$&'()*+;=b",
        "port_zero": "Host: cart:0",
        "comma": "Host: cart,evil",
    },
)
def test_odd_hosts_that_the_grammar_allows(door, host):
    received = refused_or_forwarded(door, request("GET", "~/x", host=host))
    if received and not door.outgoing:
        assert received.host == host[5:].strip().encode()


@table(
    "host",
    {
        "name": b"cart",
        "port": b"cart:8080",
        "dots": b"cart.default.svc",
        "ipv4": b"10.0.0.1:80",
        "ipv6": b"[::1]",
        "ipv6_port": b"[2001:db8::1]:80",
        "underscore": b"my_cart",
        "trailing_dot": b"cart.",
        "case": b"CaRt",
    },
)
def test_valid_host_is_kept(incoming, host):
    assert forwarded(incoming, request("GET", "~/x", host=f"Host: {host.decode()}")).host == host


def test_http_1_0_without_host(incoming):
    """RFC 9112 allows it, S4 reads as if it did not: but never an origin without Host."""
    received = refused_or_forwarded(incoming, b"GET ~/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert received is None or received.host is not None


# -- S9: versions and other protocols ----------------------------------------------------------------------------------


@table(
    "line",
    {
        "http_2": b"GET ~/x HTTP/2.0",
        "http_2_short": b"GET ~/x HTTP/2",
        "http_3": b"GET ~/x HTTP/3.0",
        "http_0_9": b"GET ~/x HTTP/0.9",
        "http_1_10": b"GET ~/x HTTP/1.10",
        "http_1_01": b"GET ~/x HTTP/1.01",
        "http_01_1": b"GET ~/x HTTP/01.1",
        "http_10_1": b"GET ~/x HTTP/10.1",
        "no_minor": b"GET ~/x HTTP/1.",
        "no_major": b"GET ~/x HTTP/.1",
        "no_dot": b"GET ~/x HTTP/11",
        "one": b"GET ~/x HTTP/1",
        "comma": b"GET ~/x HTTP/1,1",
        "lower": b"GET ~/x http/1.1",
        "mixed": b"GET ~/x Http/1.1",
        "blank_in": b"GET ~/x HTTP/ 1.1",
        "blank_after": b"GET ~/x HTTP/1.1 ",
        "tab_after": b"GET ~/x HTTP/1.1\t",
        "cr_after": b"GET ~/x HTTP/1.1\r",
        "nul_after": b"GET ~/x HTTP/1.1\x00",
        "signed": b"GET ~/x HTTP/+1.1",
        "hex": b"GET ~/x HTTP/1.a",
        "misspelt": b"GET ~/x HTPP/1.1",
        "https": b"GET ~/x HTTPS/1.1",
        "icy": b"GET ~/x ICY/1.1",
        "twice": b"GET ~/x HTTP/1.1 HTTP/1.1",
        "overflow": b"GET ~/x HTTP/4294967297.1",
        "no_slash": b"GET ~/x HTTP1.1",
        "wide": b"GET ~/x HTTP/\xef\xbc\x91.1",
    },
)
def test_other_versions(door, line):
    refused(door, line + b"\r\nHost: cart\r\n\r\n", (400, 505))


@pytest.mark.parametrize("minor", range(2, 10))
def test_later_minor_versions_are_served_as_1_1(door, minor):
    raw = request("POST", "~/x", "Transfer-Encoding: chunked", body=CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.%d" % minor)
    assert forwarded(door, raw).body == b"hello"


@table(
    "raw",
    {
        "http_0_9": b"GET ~/x\r\n",
        "http_0_9_blank": b"GET ~/x \r\n",
        "http_0_9_fields": b"GET ~/x\r\nHost: cart\r\n\r\n",
        "only_method": b"GET\r\n\r\n",
        "tls_hello": bytes.fromhex("1603010005010000010303") + b"\x00" * 40 + b"\r\n\r\n",
        "tls_alert": b"\x15\x03\x01\x00\x02\x02\x0a\r\n",
        "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
        "zeros": b"\x00" * 32 + b"\r\n\r\n",
        "high": b"\xff" * 32 + b"\r\n\r\n",
        "smtp": b"EHLO cart\r\n",
        "response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "proxy_protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    },
)
def test_other_protocols_are_never_forwarded(door, raw):
    client = door.send(raw + SMUGGLED)
    data, _ = client.rest()
    assert data == b"" or data.split(b" ")[1] in (b"400", b"405", b"505")
    assert data.count(b"HTTP/1.") <= 1 and door.origin.octets == b""


# -- request line ------------------------------------------------------------------------------------------------------


@table(
    "line",
    {
        "two_blanks": b"GET  ~/x HTTP/1.1",
        "two_blanks_before_version": b"GET ~/x  HTTP/1.1",
        "tab": b"GET\t~/x HTTP/1.1",
        "tab_before_version": b"GET ~/x\tHTTP/1.1",
        "leading_blank": b" GET ~/x HTTP/1.1",
        "leading_tab": b"\tGET ~/x HTTP/1.1",
        "no_method": b" ~/x HTTP/1.1",
        "method_paren": b"G(T ~/x HTTP/1.1",
        "method_slash": b"G/T ~/x HTTP/1.1",
        "method_colon": b"GET: ~/x HTTP/1.1",
        "method_comma": b"GET,POST ~/x HTTP/1.1",
        "method_quote": b'"GET" ~/x HTTP/1.1',
        "method_nul": b"GET\x00 ~/x HTTP/1.1",
        "method_control": b"G\x01T ~/x HTTP/1.1",
        "method_latin1": b"G\xc9T ~/x HTTP/1.1",
        "method_at": b"G@T ~/x HTTP/1.1",
        "vertical_tab": b"GET\x0b~/x HTTP/1.1",
        "form_feed": b"GET\x0c~/x HTTP/1.1",
        "bare_cr": b"GET\r~/x HTTP/1.1",
        "no_target": b"GET HTTP/1.1",
        "no_target_blank": b"GET  HTTP/1.1",
        "blank_in_target": b"GET ~/x y HTTP/1.1",
    },
)
def test_malformed_request_line(door, line):
    refused(door, line + b"\r\nHost: cart\r\n\r\n", (400, 501, 505))


@pytest.mark.parametrize(
    "method", ["get", "Get", "FOO", "M-SEARCH", "PROPFIND", "PATCH", "x!#$%&'*+-.^_`|~0", "A" * 60]
)
def test_methods_are_tokens_and_kept(door, method):
    assert forwarded(door, request(method, "~/x")).method == method


def test_one_empty_line_before_a_request_is_ignored(door):
    """RFC 9112 2.2: some clients send one after a POST body."""
    assert forwarded(door, b"\r\n" + request("GET", "~/x")).method == "GET"
    door.mesh.fresh()
    client = door.send(request("POST", "~/a", "Content-Length: 1", body=b"x") + b"\r\n" + request("GET", "~/b"))
    assert [client.response().body, client.response().body] == [b"POST /a 1", b"GET /b 0"]


# -- S10: targets ------------------------------------------------------------------------------------------------------


@table(
    "path",
    {
        "dot_dot": "/a/../b",
        "dot_dot_first": "/../b",
        "dot_dot_last": "/a/..",
        "dot_dot_only": "/..",
        "dot": "/a/./b",
        "dot_first": "/./b",
        "dot_last": "/a/.",
        "encoded": "/a/%2e%2e/b",
        "encoded_upper": "/a/%2E%2E/b",
        "half_encoded": "/a/.%2e/b",
        "half_encoded_first": "/a/%2e./b",
        "encoded_dot": "/a/%2e/b",
        "encoded_last": "/a/%2e%2e",
        "before_query": "/a/..?q",
        "dot_before_query": "/a/.?q",
        "after_double_slash": "//../b",
        "backslash": "/a\\b",
        "backslash_dots": "/a\\..\\b",
        "backslash_first": "/\\evil/x",
        "fragment": "/a#b",
        "fragment_last": "/a#",
        "fragment_after_query": "/a?b#c",
        "nul": "/a\x00b",
        "control": "/a\x01b",
        "del": "/a\x7fb",
        "bare_cr": "/a\rb",
        "encoded_slash_behind_dots": "/a/..%2fb",
        "encoded_slash_behind_encoded_dots": "/%2e%2E%2Fb",
        "encoded_slash_before_dots": "/a%2f../b",
        "encoded_slash_before_last_dots": "/a%2F..",
        "encoded_slash_before_dots_and_query": "/a%2f.?b",
        "encoded_slashes_around_dots": "/a%2f..%2fb",
        "encoded_slash_before_dots_and_parameter": "/a%2f..;x/b",
        "encoded_backslash": "/a%5cb",
        "encoded_backslash_upper": "/a%5Cb",
        "encoded_backslash_dots": "/a%5c..%5cb",
    },
)
def test_paths_that_two_readers_would_resolve_differently(door, path):
    refused(door, request("GET", f"~{path}"))


@table(
    "path",
    {
        "root": "/",
        "plain": "/a/b.c",
        "encoded_slash": "/a%2Fb",
        "encoded_slash_lower": "/a%2fb",
        "encoded_slash_first": "/%2Fa",
        "encoded_slash_last": "/a%2f",
        "encoded_slashes": "/a%2f%2Fb",
        "encoded_slash_and_dots_in_names": "/a..%2f..b/.c%2fd.",
        "encoded_slash_and_three_dots": "/...%2f...",
        "encoded_slash_in_query": "/a?b=..%2fc",
        "encoded_backslash_in_query": "/a?b=%5c..%5c",
        "double_slash": "//evil/x",
        "triple_slash": "///x",
        "double_slash_port": "//evil:80/x",
        "double_slash_userinfo": "//u@evil/x",
        "inner_double_slash": "/a//b",
        "trailing_double_slash": "/a//",
        "empty_query": "/a?",
        "query": "/a?b=c&d=e?f/g",
        "dots_in_query": "/a?b=../c",
        "url_in_query": "/a?u=http://evil/../x",
        "double_encoded": "/%252e%252e/b",
        "double_encoded_slash": "/a%252fb",
        "dots_in_names": "/.a/..b/c./d..",
        "three_dots": "/a/.../b",
        "encoded_dot_in_name": "/a%2eb",
        "tilde": "/%7ea",
        "percent_case": "/%C3%a9",
        "sub_delims": "/!$&'()*+,;=:@",
        "at": "/a@b:c",
        "long": "/" + "a" * 8000,
    },
)
def test_path_and_query_arrive_octet_for_octet(door, path):
    received = forwarded(door, request("GET", f"~{path}"))
    assert received.target == path.encode() and received.host == b"cart"


@table(
    "path",
    {
        "encoded_nul": "/a%00b",
        "bad_percent": "/a%zzb",
        "short_percent": "/a%2",
        "latin1": "/a\xe9",
        "path_parameter_dots": "/a/..;x/b",
        "quote": '/a"b',
        "angle": "/a<b>",
        "brace": "/{a}",
        "pipe": "/a|b",
        "caret": "/a^b",
        "backtick": "/a`b",
        "brackets": "/a[b]",
        "backslash_in_query": "/a?b=\\",
        "encoded_newline": "/a%0d%0aHost:%20evil",
        "encoded_hash": "/a%23b",
        "encoded_question": "/a%3fb",
    },
)
def test_odd_paths_are_refused_or_kept(door, path):
    received = refused_or_forwarded(door, request("GET", f"~{path}"))
    if received:
        assert received.target == path.encode("latin-1")


@table(
    "target",
    {
        "no_slash": "x",
        "relative": "../x",
        "asterisk_with_get": "*",
        "asterisk_more": "*x",
        "query_only": "?x",
        "authority": "cart:80",
        "authority_only": "cart",
        "empty_scheme": "://cart/x",
    },
)
def test_targets_of_no_form(door, target):
    refused(door, request("GET", target))


def test_connect_is_refused(door):
    """Design 4: 405. Whether the connection stays is open; what follows is then an ordinary request.

    For a service that is known CONNECT is what gRPC libraries begin with: see test_grpc.
    """
    client = door.send(
        request("CONNECT", "nosuch:443", host="Host: nosuch:443") + request("GET", "~/x", "Connection: close")
    )
    response = client.response()
    assert response.status in ((405,) if door.outgoing else (400, 405, 501)) and response.error
    assert client.rest()[0].count(b"HTTP/1.1") <= 1
    assert [each.method for each in door.origin.heads] in ([], ["GET"])


def test_connect_with_a_path_is_refused(door):
    refused(door, request("CONNECT", "~/x"), (400, 405, 501))


def test_options_asterisk(incoming):
    assert forwarded(incoming, request("OPTIONS", "*")).target == b"*"


def test_absolute_form_at_the_incoming_listener(incoming):
    """RFC 9112 3.2.2: a server accepts it, and the target's authority beats Host."""
    received = forwarded(incoming, request("GET", "http://web:80/x?y", host="Host: other"))
    assert received.target == b"/x?y" and received.host == b"web:80"


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_refusals_are_counted(door):
    before = door.sidecar.errors("bad_request")
    refused(door, request("GET", "~/x", "X : 1"))
    assert door.sidecar.errors("bad_request") == before + 1


def test_a_refused_head_request_has_no_body(door):
    """Also when the sidecar answers itself, a body after HEAD would be read as the next response."""
    client = door.send(request("HEAD", "~/x", "X : 1"))
    response = client.response("HEAD")
    data, _ = client.rest()
    assert response.status == 400 and (data == b"" or not wire.STATUS_LINE.match(data))


def test_time_is_not_wasted_on_a_refusal(door):
    """The refusal does not wait for octets that the bad length promises."""
    client = door.connect()
    client.sock.settimeout(PATIENCE / 4)
    client.send(door.fill(request("POST", "~/x", "Content-Length: 99999999999999999999999")))
    assert client.response().status == 400
