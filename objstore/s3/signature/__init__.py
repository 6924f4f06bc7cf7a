"""s3/signature"""
