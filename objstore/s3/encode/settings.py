"""Encoders of settings that nobody made (s3 rule 6.1) and of access control lists (s3 rule 4.18)."""

from __future__ import annotations

from typing import Final

from objstore.s3.encode.documents import owner_element, version_header, xml_reply
from objstore.s3.outputs import AclOutput, UnsetSettingOutput
from objstore.s3.reply import Reply
from objstore.s3.request import S3Request
from objstore.s3.unset import EMPTY_DOCUMENTS
from objstore.s3.xml import tag

__all__ = ["acl", "unset_setting"]

_GRANTEE: Final = (
    '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
)
"""Clients read the type from the attribute, so the namespace is declared on the element (s3 rule 4.18.5)."""


def unset_setting(output: UnsetSettingOutput, _request: S3Request) -> Reply:
    """Write the document that says that nothing is on."""
    root, inner = EMPTY_DOCUMENTS[output.operation]
    return xml_reply(root, inner)


def acl(output: AclOutput, _request: S3Request) -> Reply:
    """Write the list of a resource whose owner alone may do everything (s3 rule 4.18.1)."""
    grantee = f"{_GRANTEE}{tag('ID', output.owner)}</Grantee>"
    grant = f"<Grant>{grantee}<Permission>FULL_CONTROL</Permission></Grant>"
    inner = f"{owner_element(output.owner)}<AccessControlList>{grant}</AccessControlList>"
    return xml_reply("AccessControlPolicy", inner, version_header(output.version_id))
