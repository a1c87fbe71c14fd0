# SPDX-License-Identifier: Apache-2.0
"""S2, S3: chunked request bodies have one reading, extensions end here, trailers stay trailers."""

import pytest

from harness import forwarded, refused, refused_or_forwarded, request, table


def chunked(body, *fields):
    """A POST with this chunked body."""
    return request("POST", "~/x", "Transfer-Encoding: chunked", *fields, body=body)


@table(
    "line",
    {
        "0x": b"0x5",
        "0X": b"0X5",
        "plus": b"+5",
        "minus": b"-5",
        "minus_zero": b"-0",
        "leading_blank": b" 5",
        "leading_tab": b"\t5",
        "trailing_blank": b"5 ",
        "trailing_tab": b"5\t",
        "empty": b"",
        "not_hex": b"g",
        "hex_then_other": b"5g",
        "h_suffix": b"5h",
        "two_numbers": b"5 5",
        "underscore": b"0_5",
        "decimal_point": b"5.",
        "quoted": b'"5"',
        "comma": b"5,5",
        "colon": b"5:5",
        "nul": b"5\x00",
        "nul_first": b"\x005",
        "control": b"5\x01",
        "vertical_tab": b"5\x0b",
        "high_byte": b"5\xff",
        "fullwidth": b"\xef\xbc\x95",
        "all_ones": b"ffffffffffffffff",
        "wraps_to_5": b"10000000000000005",
        "wraps_to_5_in_32_bits_far": b"f0000000000000005",
        "negative_in_64_bits": b"fffffffffffffffb",
        "hundred_digits": b"f" * 100,
        "huge": b"8000000000000000",
        "bare_lf": b"5\nhello\n0\n\n",
        "bare_cr_end": b"5\r",
        "cr_inside": b"5\r5",
        "cr_before_semicolon": b"5\r;a",
        "lf_before_semicolon": b"5\n;a",
        "crlf_before": b"\r\n5",
        "lf_cr": b"5\n\r",
        "ext_with_lf": b"5;a\nb",
        "ext_with_cr": b"5;a\rb",
        "ext_with_nul": b"5;a\x00b",
        "quoted_lf": b'5;a="\n"',
        "quoted_cr": b'5;a="\r"',
        "quoted_crlf": b'5;a="\r\n"',
        "quoted_escaped_lf": b'5;a="\\\n"',
        "quoted_nul": b'5;a="\x00"',
        "unterminated_quote": b'5;a="b',
        "unterminated_escape": b'5;a="\\"',
        "only_ext": b";a=b",
        "ext_without_semicolon": b"5 a=b",
        "text_after_quote": b'5;a="b"c',
    },
)
def test_malformed_chunk_line(door, line):
    refused(door, chunked(line + b"\r\nhello\r\n0\r\n\r\n"), untouched=False)


@table(
    "body",
    {
        "data_longer": b"5\r\nhelloX\r\n0\r\n\r\n",
        "data_longer_by_lines": b"5\r\nhello\r\nX\r\n0\r\n\r\n",
        "data_shorter": b"5\r\nhell\r\n0\r\n\r\n",
        "no_crlf_after_data": b"5\r\nhello0\r\n\r\n",
        "lf_after_data": b"5\r\nhello\n0\r\n\r\n",
        "cr_after_data": b"5\r\nhello\r0\r\n\r\n",
        "lf_cr_after_data": b"5\r\nhello\n\r0\r\n\r\n",
        "blanks_after_data": b"5\r\nhello  \r\n0\r\n\r\n",
        "two_octets_instead_of_crlf": b"5\r\nhelloXX0\r\n\r\n",
        "extra_crlf_after_data": b"5\r\nhello\r\n\r\n0\r\n\r\n",
        "lf_ends_last_chunk_line": b"5\r\nhello\r\n0\n\r\n",
        "lf_ends_body": b"5\r\nhello\r\n0\r\n\n",
        "cr_ends_body": b"5\r\nhello\r\n0\r\n\rX",
        "both_lf": b"0\n\n",
        "bad_second_size": b"5\r\nhello\r\n0x1\r\nx\r\n0\r\n\r\n",
        "second_size_signed": b"5\r\nhello\r\n-1\r\n\r\n",
        "spaces_around_last": b"5\r\nhello\r\n 0 \r\n\r\n",
        "cr_cr_lf": b"5\r\r\nhello\r\n0\r\n\r\n",
        "data_starts_with_lf_only": b"5\nhello\r\n0\r\n\r\n",
    },
)
def test_malformed_chunk_data(door, body):
    refused(door, chunked(body), untouched=False)


@table(
    "line",
    {
        "upper_hex": b"0A",
        "lower_hex": b"0a",
        "leading_zeros": b"000000a",
        "ext": b"a;n",
        "ext_value": b"a;n=v",
        "two_exts": b"a;n=v;m=w",
        "quoted": b'a;n="v"',
        "quoted_semicolon": b'a;n="v;w"',
        "quoted_escape": b'a;n="\\"v\\\\"',
        "quoted_looks_like_end": b'a;n="0"',
        "quoted_obs_text": b'a;n="\xe9"',
        "quoted_tab": b'a;n="\t"',
        "quoted_empty": b'a;n=""',
    },
)
def test_legitimate_chunk_lines(door, line):
    received = forwarded(door, chunked(line + b"\r\n0123456789\r\n0\r\n\r\n"))
    assert received.body == b"0123456789"


@table(
    "line",
    {
        "blank_before_semicolon": b"5 ;n",
        "blank_after_semicolon": b"5; n",
        "blanks_around_equals": b"5;n = v",
        "trailing_semicolon": b"5;",
        "empty_value": b"5;n=",
        "empty_name": b"5;=v",
        "two_semicolons": b"5;;n",
        "non_token_name": b"5;n@",
        "non_token_value": b"5;n=@",
        "comma": b"5;n,m",
        "thirty_zeros": b"0" * 30 + b"5",
        "blank_after_ext": b"5;n ",
        "obs_text": b"5;\xe9",
    },
)
def test_odd_chunk_lines_are_refused_or_normalised(door, line):
    received = refused_or_forwarded(door, chunked(line + b"\r\nhello\r\n0\r\n\r\n"), untouched=False)
    assert received is None or received.body == b"hello"


@table(
    "body",
    {
        "empty": b"0\r\n\r\n",
        "many_zeros": b"0000\r\n\r\n",
        "last_ext": b"0;n=v\r\n\r\n",
    },
)
def test_empty_chunked_body(door, body):
    received = forwarded(door, chunked(body))
    assert received.body == b""


def test_chunks_that_hold_line_ends_and_chunk_lines(door):
    data = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    received = forwarded(door, chunked(b"%x\r\n%s\r\n2\r\n\r\n\r\n0\r\n\r\n" % (len(data), data)))
    assert received.body == data + b"\r\n"


def test_a_thousand_small_chunks(door):
    received = forwarded(door, chunked(b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"))
    assert received.body == b"x" * 1000


def test_chunked_get_and_then_another_request(door):
    received = forwarded(door, request("GET", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"))
    assert (received.method, received.body) == ("GET", b"hello")


# -- S3: extensions ----------------------------------------------------------------------------------------------------


def test_extensions_are_dropped(door):
    forwarded(door, chunked(b'5;secret=1\r\nhello\r\n0;secret="2"\r\n\r\n'))
    assert b"secret" not in door.origin.octets


@table(
    "chunks",
    {
        "one_long": [5000],
        "one_far_too_long": [200_000],
        "many_short": [100] * 50,
        "two_halves": [3000, 3000],
    },
)
def test_more_than_4_kib_of_extensions(door, chunks):
    body = b"".join(b"1;%s\r\nx\r\n" % (b"a" * size) for size in chunks) + b"0\r\n\r\n"
    refused(door, chunked(body), (400, 413, 431), untouched=False)


@table("chunks", {"one": [3500], "many": [30] * 100})
def test_less_than_4_kib_of_extensions(door, chunks):
    body = b"".join(b"1;%s\r\nx\r\n" % (b"a" * size) for size in chunks) + b"0\r\n\r\n"
    assert forwarded(door, chunked(body)).body == b"x" * len(chunks)


# -- S3: trailers ------------------------------------------------------------------------------------------------------


def trailed(*lines, fields=()):
    """A chunked POST with these trailer lines."""
    return chunked(
        b"5\r\nhello\r\n0\r\n" + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n", *fields
    )


def test_trailers_are_never_headers(door):
    received = forwarded(door, trailed("X-T: one", "X-U: two", fields=["Trailer: X-T, X-U"]))
    assert not {"x-t", "x-u"} & received.names()
    assert received.body == b"hello" and set(received.trailers) <= {("x-t", b"one"), ("x-u", b"two")}


@table(
    "field",
    {
        "content_length": "Content-Length: 100",
        "transfer_encoding": "Transfer-Encoding: chunked",
        "host": "Host: evil",
        "connection": "Connection: close",
        "authorization": "Authorization: Basic eA==",
        "content_type": "Content-Type: evil/evil",
        "cookie": "Cookie: a=b",
        "expect": "Expect: 100-continue",
        "forwarded_port": "X-Forwarded-Port: 1",
        "forwarded_host": "X-Forwarded-Host: evil",
        "context": "x-cse-context: {}",
    },
)
def test_forbidden_trailers_have_no_effect(door, field):
    """RFC 9110 6.5.1: framing, routing, authentication. Refused or dropped; never merged into the headers."""
    received = refused_or_forwarded(door, trailed(field), untouched=False)
    if received:
        name, _, value = field.partition(": ")
        assert received.body == b"hello" and value.encode() not in [
            v for v in received.all(name.lower()) if name != "Transfer-Encoding"
        ]
        if name in ("Content-Length", "Transfer-Encoding", "Host"):
            assert received.trailers == []


@table(
    "line",
    {
        "space_before_colon": "X : v",
        "empty_name": ": v",
        "no_colon": "X",
        "fold": "X: v\r\n w",
        "first_line_blank": " X: v",
        "nul": "X: a\x00b",
        "nul_in_name": "X\x00: v",
        "bare_cr": "X: a\rb",
        "bare_lf": "X: a\nY: b",
        "bad_name": "X@: v",
        "bare_cr_at_end": "X: a\r",
        "control_in_name": "X\x01: v",
        "latin1_name": "X\xe9: v",
        "request_line": "GET /smuggled HTTP/1.1",
    },
)
def test_malformed_trailers(door, line):
    refused(door, trailed(line), untouched=False)


@table(
    "lines",
    {
        "one_of_33_kib": ["X: " + "a" * (33 << 10)],
        "section_of_61_kib": [f"X-{i}: " + "a" * 3000 for i in range(21)],
        "a_hundred_and_one": [f"X-{i}: v" for i in range(101)],
    },
)
def test_trailers_are_limited_like_headers(door, lines):
    refused(door, trailed(*lines), (400, 431), untouched=False)


def test_trailers_within_the_limits(door):
    received = forwarded(door, trailed(*[f"X-{i}: " + "a" * 100 for i in range(100)]))
    assert received.body == b"hello"


# -- connection --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 3, 5, 8, 10, 11, 13])
def test_a_body_that_ends_early_is_no_request(door, cut):
    """The client closes inside the chunked body: the origin must see an incomplete request."""
    body = b"5\r\nhello\r\n0\r\n\r\n"
    client = door.send(chunked(body[:cut]))
    client.half_close()
    client.rest()
    door.origin.quiet()
    assert door.origin.requests == []


def test_a_malformed_chunk_after_the_upstream_call_began_ends_it(door):
    """The head is at the origin already; the bad chunk comes later and ends both sides."""
    client = door.send(chunked(b"5\r\nhello\r\n"))
    door.origin.until(lambda: door.origin.heads)
    client.send(b"0x5\r\nhello\r\n0\r\n\r\n")
    assert client.response().status == 400
    client.rest()
    door.origin.quiet()
    assert door.origin.requests == []
