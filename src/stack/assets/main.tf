# {{ written }}
# Who reaches what: 9100 of a node, the monitoring server only; SSH, Prometheus
# and Grafana, the named networks only.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}
{% if !region.is_empty() %}
provider "aws" {
  region = "{{ region }}"
}
{% endif %}
variable "vpc_id" {
  type        = string
  description = "The VPC of the machines"
{%- if !vpc.is_empty() %}
  default     = "{{ vpc }}"
{%- endif %}
}

variable "admin_cidrs" {
  type        = list(string)
  description = "Networks that may reach SSH, Prometheus and Grafana"
  default     = {{ admin }}
{% if open_to_all %}
  # Open to everybody, as stack.toml asks: Prometheus has no password, and anyone
  # can read every metric.
  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrhost(cidr, 0))])
    error_message = "admin_cidrs must be networks in CIDR notation."
  }
{% else %}
  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "admin_cidrs must be networks in CIDR notation, and never everybody (/0)."
  }
{% endif -%}
}

locals {
  admin_ports = {
    ssh        = 22
    prometheus = 9090
    grafana    = 3000
  }
  monitor_rules = {
    for pair in setproduct(keys(local.admin_ports), var.admin_cidrs) :
    "${pair[0]}-${pair[1]}" => {
      name = pair[0]
      port = local.admin_ports[pair[0]]
      cidr = pair[1]
    }
  }
}

resource "aws_security_group" "monitor" {
  #checkov:skip=CKV2_AWS_5:whoever starts the machines attaches it
  name_prefix = "{{ name }}-monitor-"
  description = "{{ name }}: Prometheus and Grafana"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "node" {
  #checkov:skip=CKV2_AWS_5:whoever starts the machines attaches it
  name_prefix = "{{ name }}-node-"
  description = "{{ name }}: machines that are watched and loaded"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "monitor" {
  for_each          = local.monitor_rules
  security_group_id = aws_security_group.monitor.id
  description       = "${each.value.name} for administrators"
  cidr_ipv4         = strcontains(each.value.cidr, ":") ? null : each.value.cidr
  cidr_ipv6         = strcontains(each.value.cidr, ":") ? each.value.cidr : null
  from_port         = each.value.port
  to_port           = each.value.port
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "node_exporter" {
  security_group_id            = aws_security_group.node.id
  description                  = "node_exporter for the monitoring server only"
  referenced_security_group_id = aws_security_group.monitor.id
  from_port                    = 9100
  to_port                      = 9100
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "node_ssh_from_monitor" {
  #checkov:skip=CKV_AWS_24:it is open for a group, not for a network
  security_group_id            = aws_security_group.node.id
  description                  = "ssh from the monitoring server, which starts the load"
  referenced_security_group_id = aws_security_group.monitor.id
  from_port                    = 22
  to_port                      = 22
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "node_ssh" {
  for_each          = toset(var.admin_cidrs)
  security_group_id = aws_security_group.node.id
  description       = "ssh for administrators"
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
  from_port         = 22
  to_port           = 22
  ip_protocol       = "tcp"
}

# Terraform takes away the egress that AWS gives a new group.
resource "aws_vpc_security_group_egress_rule" "all" {
  for_each = {
    monitor = aws_security_group.monitor.id
    node    = aws_security_group.node.id
  }
  security_group_id = each.value
  description       = "packages, and answers"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

output "monitor_security_group" {
  description = "For the machine that runs Prometheus and Grafana, and node_exporter"
  value       = aws_security_group.monitor.id
}

output "node_security_group" {
  description = "For every machine that is watched and loaded"
  value       = aws_security_group.node.id
}
