"""Reads `aws ec2 describe-security-groups`: 9100 must be open for the monitoring
group and nobody else, and nothing for everybody."""

import json
import sys

node, monitor = sys.argv[1:]
groups = {group["GroupId"]: group for group in json.load(sys.stdin)["SecurityGroups"]}
for group in groups.values():
    for permission in group["IpPermissions"]:
        ranges = [one["CidrIp"] for one in permission["IpRanges"]]
        ranges += [one["CidrIpv6"] for one in permission["Ipv6Ranges"]]
        assert not any(cidr.endswith("/0") for cidr in ranges), permission
        if permission["FromPort"] == 9100:
            assert not ranges, permission
exporter = [p for p in groups[node]["IpPermissions"] if p["FromPort"] == 9100]
assert len(exporter) == 1, exporter
assert [pair["GroupId"] for pair in exporter[0]["UserIdGroupPairs"]] == [monitor], exporter
ports = sorted(p["FromPort"] for p in groups[monitor]["IpPermissions"])
assert ports == [22, 3000, 9090], ports
print("9100 is open for the monitoring server alone; 22, 3000 and 9090 for the named networks")
