#!/bin/sh
# {{ written }}
# Makes the two security groups with the AWS CLI and prints their identities.
# 9100 of a node is open for the monitoring server only, the rest for the named
# networks only.
set -eu
{% if !region.is_empty() %}export AWS_REGION="${AWS_REGION:-{{ region }}}"
{% endif -%}
{% if vpc.is_empty() -%}
: "${VPC:?set VPC to the identity of your VPC, such as vpc-0123456789abcdef0}"
{%- else -%}
VPC="${VPC:-{{ vpc }}}"
{%- endif %}

group() {
  aws ec2 create-security-group --group-name "{{ name }}-$1" --description "{{ name }}: $2" \
    --vpc-id "$VPC" --query GroupId --output text
}

monitor=$(group monitor "Prometheus and Grafana")
node=$(group node "machines that are watched and loaded")
{% if !monitor.is_empty() %}
aws ec2 authorize-security-group-ingress --group-id "$monitor" --ip-permissions{{ monitor }} >/dev/null
aws ec2 authorize-security-group-ingress --group-id "$node" --ip-permissions{{ node }} >/dev/null
{% endif %}
# By group and not by address: it holds for machines to come, too.
aws ec2 authorize-security-group-ingress --group-id "$node" --ip-permissions \
  "IpProtocol=tcp,FromPort=9100,ToPort=9100,UserIdGroupPairs=[{GroupId=$monitor,Description=node_exporter}]" \
  "IpProtocol=tcp,FromPort=22,ToPort=22,UserIdGroupPairs=[{GroupId=$monitor,Description=load-over-ssh}]" >/dev/null

echo "monitor $monitor"
echo "node $node"
