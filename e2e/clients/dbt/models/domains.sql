{{ config(materialized='ephemeral') }}
SELECT UPPER(email) AS e, COUNT(*) AS n, COUNT(DISTINCT ssn) AS d FROM {{ ref('contacts') }} WHERE email IS NOT NULL GROUP BY e ORDER BY e
