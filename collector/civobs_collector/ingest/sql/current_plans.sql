SELECT DISTINCT ON (cc) plan_id, cc, message
FROM plan
ORDER BY cc, serial DESC
