"""A spec for the tools with which people launch nodes: Terraform, Karpenter, eksctl, CloudFormation, EC2 Image Builder.

Pure: a plan, its user data and the source of its AMIs in, files out.
"""
