-- Only a system_admin may name a tenant by header; from everybody else it is taken away. Removed first, so that an
-- error below never lets it through.
function envoy_on_request(handle)
  local headers = handle:headers()
  local tenant = headers:get("x-tenant-id")
  if tenant == nil then
    return
  end
  headers:remove("x-tenant-id")
  local verified = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local role = verified and verified["jwt"] and verified["jwt"]["role"]
  if type(role) == "string" and string.upper(role) == "SYSTEM_ADMIN" then
    headers:add("x-tenant-id", tenant)
  end
end
