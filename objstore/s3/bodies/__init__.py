"""s3/bodies"""
