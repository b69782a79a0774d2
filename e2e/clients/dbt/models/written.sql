{{ config(materialized='table') }}
SELECT id, ssn FROM {{ ref('contacts') }}
