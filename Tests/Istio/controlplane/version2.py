# SPDX-License-Identifier: Apache-2.0
"""Resources as Istio up to 1.6 says them, in xDS v2: v3 has its numbers, so only what v3 has given up is written anew.

What v2 has no words for, such as values in any letter case, stays as v3 says it.
"""

from functools import cache

from envoy.api.v2 import cluster_pb2, discovery_pb2, endpoint_pb2, listener_pb2, route_pb2
from envoy.config.filter.http.fault.v2 import fault_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2 as fault_v3
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from .messages import CLUSTER, ENDPOINT, LISTENER, MESSAGES, PREFIX, ROUTE

SERVICE = "envoy.service.discovery.v2.AggregatedDiscoveryService"
REQUEST, RESPONSE = discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse
CLASSES = {
    CLUSTER: cluster_pb2.Cluster,
    ENDPOINT: endpoint_pb2.ClusterLoadAssignment,
    LISTENER: listener_pb2.Listener,
    ROUTE: route_pb2.RouteConfiguration,
}
OLD = {url: PREFIX + each.DESCRIPTOR.full_name for url, each in CLASSES.items()}
NEW = {old: url for url, old in OLD.items()}
FILTER = "envoy.filters.http.fault"
FAULT = PREFIX + "envoy.extensions.filters.http.fault.v3.HTTPFault"
HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TEXTS = {"exact": "exact_match", "prefix": "prefix_match", "suffix": "suffix_match"}


@cache
def octets(url, given):
    """A resource of v3 in v2; octets that are none stay."""
    try:
        new, old = MESSAGES[url].FromString(given), CLASSES[url].FromString(given)
    except DecodeError:
        return given
    if url == ROUTE:
        for host, old_host in zip(new.virtual_hosts, old.virtual_hosts, strict=True):
            faults(host, old_host)
            for route, old_route in zip(host.routes, old_host.routes, strict=True):
                conditions(route.match, old_route.match)
                actions(route, old_route)
    elif url == CLUSTER:
        cluster(new, old)
    return old.SerializeToString(deterministic=True)


def conditions(new, old):
    if new.HasField("safe_regex"):
        old.regex = new.safe_regex.regex
    headers(new.headers, old.headers)
    for parameter, other in zip(new.query_parameters, old.query_parameters, strict=True):
        text = parameter.string_match
        if text.exact and not text.ignore_case:
            other.ClearField("string_match")
            other.value = text.exact
        elif text.HasField("safe_regex"):
            other.ClearField("string_match")
            other.value, other.regex.value = text.safe_regex.regex, True


def headers(new, old):
    for header, other in zip(new, old, strict=True):
        text = header.string_match
        kind = text.WhichOneof("match_pattern")
        if text.ignore_case or header.treat_missing_header_as_empty or kind not in {*TEXTS, "safe_regex"}:
            continue
        other.DiscardUnknownFields()
        if kind == "safe_regex":
            other.regex_match = text.safe_regex.regex
        else:
            setattr(other, TEXTS[kind], getattr(text, kind))


def actions(new, old):
    faults(new, old)
    for target, other in zip(
        new.route.weighted_clusters.clusters, old.route.weighted_clusters.clusters, strict=True
    ):
        faults(target, other)
    if len(new.route.request_mirror_policies) == 1:
        old.route.request_mirror_policy.CopyFrom(old.route.request_mirror_policies[0])
        del old.route.request_mirror_policies[:]


def faults(new, old):
    """As Istio 1.0 has them: in JSON. v2 has no statuses of gRPC."""
    said = new.typed_per_filter_config.get(FILTER)
    if not said or said.type_url != FAULT:
        return
    fault, other = fault_v3.HTTPFault.FromString(said.value), fault_pb2.HTTPFault.FromString(said.value)
    if fault.abort.HasField("grpc_status"):
        return
    headers(fault.headers, other.headers)
    old.per_filter_config["envoy.fault"].update(json_format.MessageToDict(other, preserving_proto_field_name=True))
    del old.typed_per_filter_config[FILTER]


def cluster(new, old):
    if HTTP2 in new.typed_extension_protocol_options:
        old.typed_extension_protocol_options.clear()
        old.http2_protocol_options.SetInParent()
    groups = new.load_assignment.endpoints
    members = [each for group in groups for each in group.lb_endpoints]
    if len(groups) == 1 and not groups[0].priority and all(is_plain(each) for each in members):
        old.ClearField("load_assignment")
        for each in members:
            old.hosts.add().ParseFromString(each.endpoint.address.SerializeToString())


def is_plain(member):
    return not member.health_status and member.load_balancing_weight.value <= 1
